/**
 * Two edge nodes as users start them, one with a store of 16 MiB that the other's records fill, or its own: whatever can be done
 * with a session there that it has evicted, while the other holds it whole.
 */
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const STORE_BYTES = 16 * 1024 * 1024;

let program: string;
let folder: ReturnType<typeof temporaryFolder>;
let e1: InProcessNode;
let e2: InProcessNode;

beforeAll(async () => {
  program = (await natsPrograms())[0]?.path as string;
});
beforeEach(async () => {
  folder = temporaryFolder();
  const [port, other] = [await freePort(), await freePort()];
  const start = (nodeId: string, natsPort: number, flags = {}) =>
    startTestNode({
      ...{ nodeId, store: 'nats', natsProgram: program, natsListen: `127.0.0.1:${natsPort}` },
      ...{ dataDir: join(folder.path, nodeId), ...flags },
    });
  e1 = await start('e1', port);
  e2 = await start('e2', other, { peers: `e1=127.0.0.1:${port}`, storeBytesMax: String(STORE_BYTES) });
  for (const node of [e1, e2])
    await eventually(async () =>
      expect((await node.get('/nodes')).body.nodes.slice(1)).toMatchObject([{ state: 'connected', lag: 0 }]),
    );
});
afterEach(async () => {
  await e2.close();
  await e1.close();
  folder.remove();
});

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });
const OLD = ['next', 'replay', 'deleted', 'forked', 'shown', 'exported', 'branch', 'away'] as const;
/** Each nearly a megabyte: a fill of the small store, and some more. */
const FILLERS = 21;

async function sessionsAt(node: InProcessNode): Promise<Record<string, number>> {
  const { data } = (await node.get('/sessions?limit=1000')).body;
  return Object.fromEntries(data.map((session: Json) => [session.session_id, session.turns]));
}

async function writeOld(node: InProcessNode): Promise<void> {
  for (const session_id of OLD) {
    for (const turn of [1, 2]) await node.turn({ session_id, turn, prompt: `turn ${turn}` });
  }
}

async function fill(node: InProcessNode): Promise<void> {
  const prompt = 'much '.repeat(180_000);
  for (let n = 0; n < FILLERS; n++)
    await node.turn({ session_id: `filler-${n}`, turn: 1, prompt, mode: 'raw', n_predict: 1 });
}

/** Sessions of two turns at e1, which e2 gets and then has no room for. */
async function evictAtE2(): Promise<void> {
  await writeOld(e1);
  // Gone on with at e2, which keeps what was written there for longer.
  for (const turn of [1, 2]) await e1.turn({ session_id: 'visited', turn, prompt: `turn ${turn}` });
  await e2.turn({ session_id: 'visited', turn: 3, prompt: 'turn 3', max_wait_ms: 30_000 });
  await fill(e1);
  await eventually(async () => {
    const ids = Object.keys(await sessionsAt(e2));
    expect(ids).toContain(`filler-${FILLERS - 1}`);
    expect(ids).toContain('visited');
    for (const id of OLD) expect(ids).not.toContain(id);
  });
}

test('e2 has evicted it, e1 holds it: it can be gone on with, replayed, shown, exported, forked and deleted at e2', async () => {
  await evictAtE2();
  const before = (await e1.get('/sessions/next')).body;

  expect(await e2.turn({ session_id: 'next', turn: 3, prompt: 'turn 3' })).toMatchObject({
    turn: 3,
    based_on_turn: 2,
    node: 'e2',
  });
  expect(await e2.turn({ session_id: 'replay', turn: 2, prompt: 'turn 2' })).toMatchObject({ replayed: true, turn: 2 });
  expect((await e2.get('/sessions/shown')).body.turns).toHaveLength(2);
  expect((await e2.get('/sessions/exported/export')).body.turns).toHaveLength(2);
  expect((await e2.post('/sessions/forked/fork', { turn: 2, session_id: 'copy' })).body).toMatchObject({ turn: 2 });
  expect((await e2.request('DELETE', '/sessions/deleted')).status).toBe(200);
  await eventually(async () => expect((await e1.get('/sessions/deleted')).status).toBe(410));
  expect(await e2.turn({ session_id: 'visited', turn: 4, prompt: 'turn 4' })).toMatchObject({
    turn: 4,
    based_on_turn: 3,
  });
  const [, named] = (await e1.get('/sessions/branch')).body.turns;
  expect(
    await e2.turn({ session_id: 'branch', turn: 3, context_id: named.context_id, prompt: 'turn 3' }),
  ).toMatchObject({ based_on_turn: 2 });

  // And they stay there, used as they are; e1 is as it was, but for what e2 has added.
  expect((await e2.get('/sessions/next')).body.turns).toHaveLength(3);
  await eventually(async () => {
    const after = (await e1.get('/sessions/next')).body.turns;
    expect(after.slice(0, 2)).toEqual(before.turns);
    expect(after).toHaveLength(3);
  });
  expect((await e2.get('/sessions/nobody')).status).toBe(404);

  await e1.close();
  await eventually(async () =>
    expect((await e2.get('/nodes')).body.nodes.slice(1)).toMatchObject([{ state: 'unreachable' }]),
  );
  const refused = await e2.post('/completion', { session_id: 'away', turn: 3, prompt: 'turn 3', max_wait_ms: 100 });
  expect(refused).toMatchObject({ status: 503, body: { error: { type: 'context_stale' } } });
  expect((await e2.get('/sessions/away')).status).toBe(404);
}, 180_000);

test('e2 is full of what was written there, all of it replicated: each session that it has evicted goes on there, and nothing is lost', async () => {
  await writeOld(e2);
  await eventually(async () =>
    expect(await sessionsAt(e1)).toMatchObject(Object.fromEntries(OLD.map((id) => [id, 2]))),
  );
  await fill(e2);
  const left = Object.keys(await sessionsAt(e2));
  for (const id of OLD) expect(left).not.toContain(id);

  for (const session_id of OLD) {
    expect(await e2.turn({ session_id, turn: 2, prompt: 'turn 2' })).toMatchObject({ replayed: true, turn: 2 });
    const next = await e2.turn({ session_id, turn: 3, prompt: 'turn 3' });
    expect(next).toMatchObject({ based_on_turn: 2, node: 'e2' });
    const there = await e1.turn({ session_id, turn: 3, prompt: 'turn 3', max_wait_ms: 30_000 });
    expect(there).toMatchObject({ replayed: true, content: next.content, context_id: next.context_id });
  }
  await eventually(async () =>
    expect(await sessionsAt(e1)).toMatchObject({
      ...Object.fromEntries(OLD.map((id) => [id, 3])),
      ...Object.fromEntries(Array.from({ length: FILLERS }, (_, n) => [`filler-${n}`, 1])),
    }),
  );
  const { store } = (await e2.get('/ready')).body;
  expect(store.evicted_sessions).toBeGreaterThan(OLD.length);
  expect(store.evicted_last_copies).toBe(0);
  const { text } = await e2.get('/metrics');
  expect(text).toMatch(new RegExp(`^discedge_evicted_sessions ${store.evicted_sessions}$`, 'm'));
  expect(text).toMatch(/^discedge_evicted_last_copies 0$/m);
}, 180_000);
