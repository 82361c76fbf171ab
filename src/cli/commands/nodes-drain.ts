import { setTimeout as wait } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import type { ListedNode } from '../../client/client.ts';
import { addConnectionOptions, type ConnectionOptions, connect } from '../connection.ts';
import { EXIT_FAILURE } from '../failure.ts';
import { printable } from '../terminal.ts';

const LOOK_EVERY_MS = 1_000;

export function defineDrain(command: Command): void {
  addConnectionOptions(
    command.description('Wait until everything that a node has acknowledged is on another node, too.'),
  )
    .option('--wait <SECONDS>', 'give up after so long, with exit status 1 (default: never)', seconds)
    .action((_, called: Command) => drain(called.optsWithGlobals()));
}

/** Only the first node that is named is meant: another one's records say nothing of it. */
async function drain({ wait: waitSeconds, ...options }: ConnectionOptions & { wait?: number }): Promise<void> {
  const client = connect({ ...options, url: options.url.slice(0, 1) });
  const endMs = performance.now() + (waitSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  let told: string | undefined;
  for (;;) {
    const [node, ...others] = (await client.nodes()).nodes;
    if (node?.onlyHere === undefined) return fail('this node shares its contexts with no other (see --store nats)');
    if (node.onlyHere === 0) {
      process.stdout.write(`everything that ${printable(node.nodeId)} has acknowledged is on another node, too\n`);
      return;
    }
    const state = `${records(node.onlyHere)} of ${printable(node.nodeId)} on no other node yet${unserved(node)}${peers(others)}`;
    // A peer that is there for a moment only has not said yet what it has.
    const isLasting = state === told && takesNoMore(node, others);
    if (isLasting || performance.now() >= endMs) return fail(state);
    if (state !== told) process.stdout.write(`${state}\n`);
    told = state;
    await wait(LOOK_EVERY_MS);
  }
}

function records(count: number): string {
  return count === 1 ? '1 record' : `${count} records`;
}

/** All that is left is of models that none of the nodes serves, and they have all been heard. */
function takesNoMore({ onlyHere, onlyHereUnserved }: ListedNode, others: readonly ListedNode[]): boolean {
  return onlyHereUnserved === onlyHere && others.length > 0 && others.every(({ state }) => state === 'connected');
}

function unserved({ onlyHereUnserved = 0 }: ListedNode): string {
  if (onlyHereUnserved === 0) return '';
  return `, ${onlyHereUnserved} of them of a model or chat template that no other node serves: they stay here until one does`;
}

function peers(others: readonly ListedNode[]): string {
  const states = others.map(({ nodeId, state }) => `${printable(nodeId)} is ${state}`);
  return `; ${states.length === 0 ? 'it knows no other node' : states.join(', ')}`;
}

function fail(why: string): void {
  process.stderr.write(`discedge: ${why}\n`);
  process.exitCode = EXIT_FAILURE;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0)) throw new InvalidArgumentError('A number of seconds is needed.');
  return value;
}
