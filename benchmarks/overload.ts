// npm run bench:overload [-- --seconds N --rows FILE]
//
// What users see of a crowd that asks ten times of a node what it can do: a node as users start it, with the durable store, in front of
// an LLM that takes a known time in a known number of slots. The crowd is one service that acts for many users, on every API, and does
// not wait when it is told to; beside it there is one user on each API, with one turn at a time. First without any limits, then with
// limits for the crowd's key. Each acknowledged turn is looked for afterwards.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { KeyFolder } from '../src/access/key-folder.ts';
import type { Limits } from '../src/domain/principals/limits.ts';
import { newKey } from '../tools/new-key.ts';
import { startNodeProcess } from '../tools/node-process.ts';
import { TURN_APIS } from '../tools/overload/turn-apis.ts';
import { benchmarkFlags } from './support/arguments.ts';
import { startInstantLlm } from './support/instant-llm/instant-llm.ts';
import { Crowd, type CrowdRun } from './support/overload/crowd.ts';
import { SteadyUsers } from './support/overload/steady-users.ts';
import { runInfo } from './support/run-info.ts';
import { table } from './support/table.ts';

const SEED = 1;
const SLOTS = 8;
const REPLY_MS = 50;
const TURNS_IN_FLIGHT_MAX = 32;

const values = benchmarkFlags('overload', {
  seconds: { type: 'string', default: '30', help: 'SECONDS of each of the two crowds', isNumber: true },
  rows: { type: 'string', help: 'FILE to append the rows to, as NDJSON' },
});
const seconds = Number(values.seconds);
const info = runInfo('overload', SEED);
/** On the disk that is measured: the project's own, not a RAM disk. */
const folder = mkdtempSync(join(process.env.DISCEDGE_BENCH_DIR ?? tmpdir(), 'discedge-bench-'));
const keys = new KeyFolder(join(folder, 'keys'));
const service = (limits?: Limits) => newKey(keys, { scopes: ['service'], ...(limits && { limits }) });
const [reader, unlimited] = [await service(), await service()];
const users = await Promise.all(
  TURN_APIS.map(async (api) => ({ api, key: (await newKey(keys, { user: api.name })).text })),
);
const llm = await startInstantLlm({ slots: SLOTS, replyMs: REPLY_MS });
const node = await startNodeProcess([
  ...['--llm', llm.url, '--data-dir', join(folder, 'data'), '--keys-dir', keys.path],
  ...['--turns-in-flight-max', String(TURNS_IN_FLIGHT_MAX), '--context-cache-bytes', '64MiB'],
]);
try {
  console.log(
    `${info.machine}, Node ${info.node}, commit ${info.commit}${info.dirty ? ' with changes' : ''}, load ${info.loadBefore} before;\n` +
      `an LLM of ${SLOTS} slots, ${REPLY_MS} ms a reply; a node with ${TURNS_IN_FLIGHT_MAX} turns in flight at most\n`,
  );
  const steady = new SteadyUsers(node.url, users);
  const crowd = new Crowd(node, { reader: reader.text, steady, turnsInFlightMax: TURNS_IN_FLIGHT_MAX });
  await steady.run('warm-up', seconds / 24);
  const capacity = await crowd.capacity(unlimited.text, { clients: 2 * SLOTS, seconds: seconds / 12 });
  const alone = await steady.run('alone', seconds / 6);
  const limits = { concurrentTurns: SLOTS / 2, requestsPerSecond: Math.ceil(capacity / 2) };
  const limited = await service(limits);
  await crowd.isKnown(limited.text);
  const beside: CrowdRun[] = [];
  for (const [name, { text: key }] of Object.entries({ 'no limits': unlimited, limits: limited }))
    beside.push(await crowd.run(name, { key, seconds, capacity, alone }));
  show('users', `Users with one turn at a time, alone and beside a crowd (the node does ${capacity} turns a second)`, [
    ...alone.rows('nobody'),
    ...beside.flatMap(({ name, users }) => users.rows(name)),
  ]);
  show(
    'crowd',
    `The crowd; its key has no limits, then ${JSON.stringify(limits)}`,
    beside.flatMap(({ crowdRows }) => crowdRows),
  );
  show(
    'node',
    'The node: its memory, acknowledged turns that were looked for and found, and how soon a turn took what it took alone',
    beside.map(({ nodeRow }) => nodeRow),
  );
} finally {
  await node.process.stop();
  await llm.stop();
  rmSync(folder, { recursive: true, force: true });
}

function show<Row extends object>(part: string, title: string, rows: readonly Row[]): void {
  console.log(`${title}:\n\n${table(rows, Object.keys(rows[0] as Row) as (keyof Row & string)[])}\n`);
  if (values.rows === undefined) return;
  appendFileSync(resolve(values.rows), rows.map((row) => `${JSON.stringify({ ...info, part, ...row })}\n`).join(''));
}
