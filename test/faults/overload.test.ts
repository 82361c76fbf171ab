// Asks ten times of a real node what it takes at once, on every API, with clients that do not wait when they are told to, and some
// that read nothing: first a service over its limits, beside a user within its share, then somebody without any. Only 200, 429 and
// 503 are answered; whatever was acknowledged is there afterwards, memory stays bounded, and the node is back to normal within
// seconds. DISCEDGE_TEST_OVERLOAD_SECONDS sets how long each of the two takes (default 10; minutes for a release).
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { KeyFolder } from '../../src/access/key-folder.ts';
import type { Limits } from '../../src/domain/limits.ts';
import type { Scope } from '../../src/domain/principal.ts';
import { newKey } from '../../tools/new-key.ts';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import type { Json } from '../../tools/test-node.ts';

const SECONDS = Number(process.env.DISCEDGE_TEST_OVERLOAD_SECONDS ?? 10);
/** Turns that the node takes at once; what is asked of it is ten times that. */
const CAPACITY = 16;
const CLIENTS = 10 * CAPACITY;
const UNREAD_CONNECTIONS = 16;
/** Caches, heaps and sockets of such a load; without bounds it would be gigabytes within minutes. */
const GROWTH_MIB_MAX = 500;
/** What "within seconds" is. */
const NORMAL_AGAIN_MS = 10_000;
/** The scripted LLM Service gives the loop a chance between any four: a longer reply would measure that alone. */
const REPLY_IDS = 40;
/** A tenth of what they are told to wait. */
const IMPATIENT_MS = 100;

const folder = temporaryFolder();
const keys = new KeyFolder(join(folder.path, 'keys'));
const made: Record<string, string> = {};
let node: NodeProcess;
let rssMiB: { before: number; most: number };
let watch: NodeJS.Timeout;

beforeAll(async () => {
  await makeKey('crowd', { concurrentTurns: CAPACITY - 4 }, 'service');
  await makeKey('unlimited', undefined, 'service');
  await makeKey('good', { concurrentTurns: 2 });
  node = await startNodeProcess([
    ...['--llm', 'scripted', '--data-dir', join(folder.path, 'data'), '--keys-dir', keys.path],
    ...['--turns-in-flight-max', String(CAPACITY), '--context-cache-bytes', '64MiB'],
  ]);
  rssMiB = { before: rss(), most: 0 };
  watch = setInterval(() => {
    rssMiB.most = Math.max(rssMiB.most, rss());
  }, 200);
});
afterAll(async () => {
  clearInterval(watch);
  await node?.process.stop();
  folder.remove();
});

async function makeKey(name: string, limits: Limits | undefined, scope: Scope = 'user'): Promise<void> {
  made[name] = (await newKey(keys, { scopes: [scope], user: name, ...(limits && { limits }) })).text;
}

function rss(): number {
  const status = readFileSync(`/proc/${node.process.pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}

/** One client of one API: what it sends for its next turn, and how its reply ends where it is streamed. */
interface Api {
  readonly name: string;
  readonly path: string;
  body(user: string, said: number): object;
  readonly end?: RegExp;
}

const say = (user: string, said: number) => `${user} says ${said}. ${'All of it is said again. '.repeat(8)}`;
const chat = (user: string, said: number) => ({ messages: [{ role: 'user', content: say(user, said) }] });
const completion = (user_id: string, said: number) => ({
  ...{ user_id, session_id: `${user_id}-${Math.floor(said / 20)}`, turn: (said % 20) + 1 },
  ...{ prompt: say(user_id, said), n_predict: REPLY_IDS },
});
const APIS: readonly Api[] = [
  { name: 'completion', path: '/completion', body: completion },
  {
    name: 'completion-stream',
    path: '/completion',
    body: (user, said) => ({ ...completion(user, said), stream: true }),
    end: /"stop":true/,
  },
  {
    name: 'chat',
    path: '/v1/chat/completions',
    body: (user, said) => ({ user, ...chat(user, said), max_tokens: REPLY_IDS, stream: true }),
    end: /\[DONE\]/,
  },
  {
    name: 'responses',
    path: '/v1/responses',
    body: (user, said) => ({ user, input: say(user, said), max_output_tokens: REPLY_IDS }),
  },
  {
    name: 'messages',
    path: '/v1/messages',
    body: (user, said) => ({ metadata: { user_id: user }, ...chat(user, said), max_tokens: REPLY_IDS, stream: true }),
    end: /message_stop/,
  },
];

interface Told {
  readonly statuses: Map<number, number>;
  /** By user, the turns that were acknowledged. */
  readonly acknowledged: Map<string, number>;
  readonly responseIds: { readonly user: string; readonly id: string }[];
  readonly turnMs: number[];
}
const nothingTold = (): Told => ({ statuses: new Map(), acknowledged: new Map(), responseIds: [], turnMs: [] });

async function ask(key: string, path: string, body?: object): Promise<{ status: number; text: string }> {
  const headers = { authorization: `Bearer ${made[key]}`, 'content-type': 'application/json' };
  return node.request(body ? 'POST' : 'GET', path, { headers, ...(body && { body: JSON.stringify(body) }) });
}

/** Turn after turn, again when refused, far sooner than it should be, until `isOver`. */
async function converse(
  { path, body, end }: Api,
  who: { key: string; user: string },
  told: Told,
  isOver: () => boolean,
) {
  const { key, user } = who;
  for (let said = 0; !isOver(); ) {
    const startedMs = performance.now();
    const { status, text } = await ask(key, path, body(user, said));
    told.statuses.set(status, (told.statuses.get(status) ?? 0) + 1);
    if (status !== 200) {
      await new Promise((again) => setTimeout(again, IMPATIENT_MS));
      continue;
    }
    if (end !== undefined) expect(text).toMatch(end);
    else if (path === '/v1/responses') told.responseIds.push({ user, id: (JSON.parse(text) as Json).id });
    told.turnMs.push(performance.now() - startedMs);
    told.acknowledged.set(user, ++said);
  }
}

/** Ten times the capacity, on all APIs, for a while; and meanwhile a user with one turn at a time. */
async function overload(key: string, prefix: string): Promise<{ crowd: Told; good: Told; unread: Socket[] }> {
  const [crowd, good] = [nothingTold(), nothingTold()];
  const untilMs = performance.now() + SECONDS * 1000;
  const isOver = () => performance.now() >= untilMs;
  const unread = Array.from({ length: UNREAD_CONNECTIONS }, (_, at) => nobodyReads(key, `${prefix}-unread-${at}`));
  const clients = Array.from({ length: CLIENTS }, (_, at) => {
    const api = APIS[at % APIS.length] as Api;
    return converse(api, { key, user: `${prefix}-${api.name}-${at}` }, crowd, isOver);
  });
  await Promise.all([...clients, converse(APIS[0] as Api, { key: 'good', user: `good-${prefix}` }, good, isOver)]);
  return { crowd, good, unread };
}

/** Asks for streams on one connection, and reads none of it. */
function nobodyReads(key: string, user: string): Socket {
  const socket = connect(Number(new URL(node.url).port), '127.0.0.1').pause();
  socket.on('error', () => {});
  for (let said = 0; said < 20; said++) {
    const json = JSON.stringify({ ...completion(user, said), stream: true });
    socket.write(
      `POST /completion HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${made[key]}\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
    );
  }
  return socket;
}

async function turnsOf(key: string, user: string): Promise<number> {
  let turns = 0;
  for (let after = ''; ; ) {
    const page = JSON.parse((await ask(key, `/sessions?user_id=${user}&limit=1000${after}`)).text) as Json;
    for (const session of page.data) turns += session.turns;
    if (!page.has_more) return turns;
    after = `&after=${page.next}`;
  }
}

async function expectKept(key: string, { acknowledged, responseIds }: Told): Promise<number> {
  let all = 0;
  for (const [user, turns] of acknowledged) {
    expect(await turnsOf(key, user), user).toBeGreaterThanOrEqual(turns);
    all += turns;
  }
  for (const { user, id } of responseIds)
    expect((await ask(key, `/v1/responses/${id}`)).status, `${user} ${id}`).toBe(200);
  return all;
}

const quantile = (times: readonly number[], q: number) =>
  Math.round([...times].sort((a, b) => a - b)[Math.floor(q * (times.length - 1))] ?? 0);
const figures = ({ statuses, turnMs }: Told) => ({
  ...Object.fromEntries(statuses),
  ...{
    turnsPerSecond: Math.round(turnMs.length / SECONDS),
    p50Ms: quantile(turnMs, 0.5),
    p99Ms: quantile(turnMs, 0.99),
  },
});

it('a crowd over its limits is refused, and a user within its share is served', {
  timeout: SECONDS * 4_000 + 120_000,
}, async () => {
  const alone = nothingTold();
  const untilMs = performance.now() + 2_000;
  await converse(APIS[0] as Api, { key: 'good', user: 'good-alone' }, alone, () => performance.now() >= untilMs);
  const { crowd, good, unread } = await overload('crowd', 'limited');
  for (const socket of unread) socket.destroy();
  expect([...crowd.statuses.keys()].sort()).toEqual([200, 429]);
  expect([...good.statuses.keys()]).toEqual([200]);
  const kept = await expectKept('crowd', crowd);
  await expectKept('good', good);
  expect(rssMiB.most - rssMiB.before).toBeLessThan(GROWTH_MIB_MAX);
  console.log(
    'overload within limits',
    JSON.stringify({ alone: figures(alone), good: figures(good), crowd: figures(crowd), kept, rssMiB }),
  );
});

it('a node that has more to do than it takes says so, loses nothing, and is back to normal within seconds', {
  timeout: SECONDS * 4_000 + 120_000,
}, async () => {
  const { crowd, good, unread } = await overload('unlimited', 'free');
  expect([...crowd.statuses.keys()].sort()).toEqual([200, 503]);
  for (const status of good.statuses.keys()) expect([200, 503]).toContain(status);
  const overMs = performance.now();
  const body = { ...completion('good', 0), session_id: 'afterwards' };
  while ((await ask('good', '/completion', body)).status !== 200)
    expect(performance.now() - overMs).toBeLessThan(NORMAL_AGAIN_MS);
  const normalAfterMs = Math.round(performance.now() - overMs);
  for (const socket of unread) socket.destroy();
  const kept = await expectKept('unlimited', crowd);
  expect(rssMiB.most - rssMiB.before).toBeLessThan(GROWTH_MIB_MAX);
  console.log(
    'overload beyond the node',
    JSON.stringify({ good: figures(good), crowd: figures(crowd), kept, normalAfterMs, rssMiB }),
  );
});
