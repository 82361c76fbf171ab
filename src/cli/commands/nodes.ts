import type { Command } from 'commander';
import type { ListedNode, NodeDirectory } from '../../client/client.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { printable, styled, table } from '../terminal.ts';
import { defineDrain } from './nodes-drain.ts';

export function define(command: Command): void {
  addConnectionOptions(command).option('--json', "print the node's answer").action(list);
  defineDrain(command.command('drain'));
}

async function list(options: ConnectionOptions & { json?: true }): Promise<void> {
  const directory = await connect(options).nodes();
  if (options.json) process.stdout.write(`${JSON.stringify(directory.wire)}\n`);
  else process.stdout.write(readable(directory));
}

function readable({ cluster, nodes, refused }: NodeDirectory): string {
  const rows = nodes.map((node) => [
    printable(node.nodeId),
    node.state,
    printable(node.url ?? '-'),
    located(node),
    printable(node.models.join(', ') || '-'),
    node.load ?? '-',
    node.lag,
    node.state === 'self' ? 'now' : ago(node.lastSeenAgoMs),
  ]);
  const header = ['NODE', 'STATE', 'URL', 'LOCATION', 'MODEL', 'LOAD', 'LAG', 'LAST MESSAGE'];
  const notes = [...nodes.flatMap(warmings), ...nodes.flatMap(troubles), ...refusals(refused)];
  return [
    cluster === undefined
      ? 'this node shares its contexts with no other (see --store nats)'
      : `cluster ${styled('bold', cluster)}`,
    table(header, rows),
    ...notes.map(printable),
    '',
  ].join('\n');
}

function warmings({ nodeId, warming }: ListedNode): string[] {
  return warming.map(({ model, policy, handovers, warmedTokens, wastedTokens }) => {
    const found = `of the sessions that came from another node ${handovers.warm} were warm, ${handovers.kept} kept, ${handovers.cold} cold`;
    return `${nodeId} warms ${model} (${policy}): ${found}; ${warmedTokens} tokens ahead of need, ${wastedTokens} in vain`;
  });
}

function troubles({
  nodeId,
  state,
  reason,
  refusedRecords,
  onlyHere = 0,
  unlikeModels,
  ...node
}: ListedNode): string[] {
  const records = Object.entries(refusedRecords).map(([why, count]) => `${count} ${why.replaceAll('_', ' ')}`);
  return [
    ...(reason === undefined ? [] : [`${nodeId} is ${state}: ${reason}`]),
    ...clockTroubles({ nodeId, ...node }),
    ...unlikeModels.map(
      (name) => `${nodeId} serves ${name} with another tokenizer or chat template: no session of it is shared with it`,
    ),
    ...(onlyHere === 0
      ? []
      : [`${nodeId} has ${onlyHere} records that are on no other node (see "discedge nodes drain")`]),
    ...(records.length === 0 ? [] : [`${nodeId} sent records that were refused: ${records.join(', ')}`]),
  ];
}

/** Beyond it clocks that nobody keeps differ, too; shared sessions live ten minutes longer for that. */
const AHEAD_MS_MAX = 60_000;

function clockTroubles({
  nodeId,
  clockDoubt,
  clockAheadMs = 0,
}: Pick<ListedNode, 'nodeId' | 'clockDoubt' | 'clockAheadMs'>) {
  const apart = `${Math.round(Math.abs(clockAheadMs) / 1000)} s ${clockAheadMs > 0 ? 'ahead' : 'behind'}`;
  return [
    ...(clockDoubt === undefined || clockDoubt === 'starting'
      ? []
      : [`${nodeId} doubts its clock (${clockDoubt}): nothing expires there until it is right`]),
    ...(Math.abs(clockAheadMs) <= AHEAD_MS_MAX ? [] : [`the clock of ${nodeId} is ${apart}`]),
  ];
}

function refusals(refused: NodeDirectory['refused']): string[] {
  return Object.entries(refused).map(
    ([nodeId, why]) => `${nodeId} wanted to join and was refused: ${why.replaceAll('_', ' ')}`,
  );
}

function located({ location }: ListedNode): string {
  return location === undefined ? '-' : `${location.latitude},${location.longitude}`;
}

function ago(ms: number | undefined): string {
  if (ms === undefined) return 'never';
  return ms < 120_000 ? `${Math.round(ms / 1000)} s ago` : `${Math.round(ms / 60_000)} min ago`;
}
