// Asks ten times of a real node what it takes at once, on every API, with clients that do not wait when they are told to, and some
// that read nothing: first a service over its limits, beside a user within its share, then one without any limits. Only 200, 429 and
// 503 are answered, and the user within its share is refused nothing; whatever was acknowledged is there afterwards, memory stays
// bounded, and the node is back to normal within seconds. DISCEDGE_TEST_OVERLOAD_SECONDS sets how long each of the two takes (default
// 10; minutes for a release).
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { quantile } from '../../benchmarks/support/statistics.ts';
import { KeyFolder } from '../../src/access/key-folder.ts';
import type { Limits } from '../../src/domain/principals/limits.ts';
import type { Scope } from '../../src/domain/principals/principal.ts';
import { newKey } from '../../tools/new-key.ts';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import { converse, nobodyReads, paceFor, Told } from '../../tools/overload/crowd.ts';
import { lookFor } from '../../tools/overload/kept-turns.ts';
import { MemoryWatch } from '../../tools/overload/memory-watch.ts';
import { completion, TURN_APIS, type TurnApi } from '../../tools/overload/turn-apis.ts';
import { asked, type TurnSender } from '../../tools/overload/turn-client.ts';

const SECONDS = Number(process.env.DISCEDGE_TEST_OVERLOAD_SECONDS ?? 10);
/** Turns that the node takes at once; what is asked of it is ten times that. */
const CAPACITY = 16;
const CLIENTS = 10 * CAPACITY;
const UNREAD_CONNECTIONS = 16;
/** Caches, heaps and sockets of such a load; without bounds it would be gigabytes within minutes. */
const GROWTH_MIB_MAX = 500;
/** What "within seconds" is. */
const NORMAL_AGAIN_MS = 10_000;

const folder = temporaryFolder();
const keys = new KeyFolder(join(folder.path, 'keys'));
const made: Record<string, string> = {};
let node: NodeProcess;
let memory: MemoryWatch;

beforeAll(async () => {
  await makeKey('crowd', { concurrentTurns: CAPACITY / 2 }, 'service');
  await makeKey('unlimited', undefined, 'service');
  await makeKey('good', { concurrentTurns: 2 });
  node = await startNodeProcess([
    ...['--llm', 'scripted', '--data-dir', join(folder.path, 'data'), '--keys-dir', keys.path],
    ...['--turns-in-flight-max', String(CAPACITY), '--context-cache-bytes', '64MiB'],
  ]);
  memory = new MemoryWatch(node.process.pid);
});
afterAll(async () => {
  memory?.stop();
  await node?.process.stop();
  folder.remove();
});

async function makeKey(name: string, limits: Limits | undefined, scope: Scope = 'user'): Promise<void> {
  made[name] = (await newKey(keys, { scopes: [scope], user: name, ...(limits && { limits }) })).text;
}

const senderOf = (key: string, user = key): TurnSender => ({ url: node.url, key: made[key] as string, user });

/** Ten times the capacity, on all APIs, for a while; and meanwhile a user with one turn at a time on each API in turn. */
async function overload(key: string, prefix: string): Promise<{ crowd: Told; good: Told; unread: Socket[] }> {
  const [crowd, good] = [new Told(), new Told()];
  const unread = Array.from({ length: UNREAD_CONNECTIONS }, (_, at) =>
    nobodyReads(senderOf(key, `${prefix}-unread-${at}`)),
  );
  const pace = paceFor(SECONDS);
  const clients = Array.from({ length: CLIENTS }, (_, at) => {
    const api = TURN_APIS[at % TURN_APIS.length] as TurnApi;
    return converse(api, senderOf(key, `${prefix}-${api.name}-${at}`), crowd, pace);
  });
  await Promise.all([...clients, goodTurns(`good-${prefix}`, good, SECONDS)]);
  return { crowd, good, unread };
}

/** Of the one user that is within its share: an API after the other, in sessions named so. */
async function goodTurns(name: string, told: Told, seconds: number): Promise<void> {
  for (const api of TURN_APIS) await converse(api, senderOf('good', name), told, paceFor(seconds / TURN_APIS.length));
}

const figures = ({ statuses, turnMs }: Told) => ({
  ...Object.fromEntries(statuses),
  ...{
    turnsPerSecond: Math.round(turnMs.length / SECONDS),
    p50Ms: Math.round(quantile(turnMs, 0.5)),
    p99Ms: Math.round(quantile(turnMs, 0.99)),
  },
});
const rssMiB = () => ({ before: memory.beforeMiB, most: memory.mostMiB });

it('a crowd over its limits is refused, and a user within its share is served', {
  timeout: SECONDS * 4_000 + 120_000,
}, async () => {
  const alone = new Told();
  await goodTurns('good-alone', alone, 2);
  const { crowd, good, unread } = await overload('crowd', 'limited');
  for (const socket of unread) socket.destroy();
  expect([...crowd.statuses.keys()].sort()).toEqual([200, 429]);
  expect([...good.statuses.keys()]).toEqual([200]);
  expect(crowd.mute).toBe(0);
  const { kept, lost } = await lookFor(crowd, senderOf('unlimited'));
  expect([...lost, ...(await lookFor(good, senderOf('good'))).lost]).toEqual([]);
  expect(memory.growthMiB).toBeLessThan(GROWTH_MIB_MAX);
  const told = { alone: figures(alone), good: figures(good), crowd: figures(crowd), kept, rssMiB: rssMiB() };
  console.log('overload within limits', JSON.stringify(told));
});

it('a crowd that nothing limits is refused what others have less of, and a user within its share is served', {
  timeout: SECONDS * 4_000 + 120_000,
}, async () => {
  const { crowd, good, unread } = await overload('unlimited', 'free');
  expect([...crowd.statuses.keys()].sort()).toEqual([200, 503]);
  expect([...good.statuses.keys()]).toEqual([200]);
  expect(crowd.mute).toBe(0);
  const overMs = performance.now();
  const body = { ...completion('good', 0), session_id: 'afterwards' };
  while ((await asked(senderOf('good'), '/completion', body)).status !== 200)
    expect(performance.now() - overMs).toBeLessThan(NORMAL_AGAIN_MS);
  const normalAfterMs = Math.round(performance.now() - overMs);
  for (const socket of unread) socket.destroy();
  const { kept, lost } = await lookFor(crowd, senderOf('unlimited'));
  expect([...lost, ...(await lookFor(good, senderOf('good'))).lost]).toEqual([]);
  expect(memory.growthMiB).toBeLessThan(GROWTH_MIB_MAX);
  const told = { good: figures(good), crowd: figures(crowd), kept, normalAfterMs, rssMiB: rssMiB() };
  console.log('overload beyond the node', JSON.stringify(told));
});
