// Looks for what is left of a session on a node's disk after it is over: deleted while the node runs, while its first turn does, while its
// engine is down, and while the node is down; drafted, or cancelled in its first turn, when the node stops; and for what a restarted node has to evaluate again.
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';

const WAIT = { timeout: 30_000, interval: 20 };
const JSON_BODY = { 'content-type': 'application/json' };
const LONG = 'The robot has a lamp and a cup of tea. '.repeat(40);

let folder: ReturnType<typeof temporaryFolder>;
let node: NodeProcess | undefined;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  await node?.kill();
  folder.remove();
});

const start = async (): Promise<NodeProcess> => {
  node = await startNodeProcess(['--data-dir', folder.path, '--parallel', '1', '--threads', '1']);
  return node;
};
const kvDir = () => join(folder.path, 'kv');
const kept = (): string[] =>
  existsSync(kvDir())
    ? readdirSync(kvDir(), { recursive: true })
        .map(String)
        .filter((name) => name.endsWith('.kv'))
    : [];
/** The sessions of which there is a file. */
const sessionsKept = (): string => {
  const contents = kept().map((name) => readFileSync(join(kvDir(), name), 'latin1'));
  return ['a', 'b', 'c', 'd'].filter((session) => contents.some((text) => text.includes(`\\n${session}"`))).join('');
};
const turn = (of: NodeProcess, session: string, number: number) =>
  of.turn({
    session_id: session,
    turn: number,
    prompt: number === 1 ? `I am ${session}. ${LONG}` : 'Hi.',
    n_predict: 4,
  });
const metric = async (of: NodeProcess, name: string): Promise<number> =>
  Number(
    new RegExp(`^discedge_kv_kept_${name}\\{model="demo"\\} (\\d+)`, 'm').exec((await of.get('/metrics')).text)?.[1],
  );

test('a session is restored, at a restarted node too; reply and metrics say so', async () => {
  const first = await start();
  for (const session of ['a', 'b']) await turn(first, session, 1);
  const { timings } = await turn(first, 'a', 2);
  expect(timings.restored_n).toBeGreaterThan(100);
  expect(timings.restored_n).toBe(timings.cache_n);
  await vi.waitFor(async () => expect(await metric(first, 'restores')).toBe(1), WAIT);
  expect(await metric(first, 'bytes')).toBeGreaterThan(0);
  expect(kept().length).toBe(await metric(first, 'sessions'));
  await first.process.stop();
  const second = await start();
  const again = await turn(second, 'b', 2);
  expect(again.timings.restored_n).toBeGreaterThan(100);
  expect(again.timings.prompt_n).toBeLessThan(100);
});

test('a deleted session leaves no file: of a running node, of an ended engine, of a stopped node', async () => {
  const first = await start();
  for (const session of ['a', 'b', 'c', 'd']) await turn(first, session, 1);
  // The last one is saved ahead, while nothing else is to be done.
  await vi.waitFor(() => expect(sessionsKept()).toBe('abcd'), WAIT);
  await first.request('DELETE', '/sessions/a');
  await vi.waitFor(() => expect(sessionsKept()).toBe('bcd'), WAIT);

  process.kill((await first.get('/health')).body.engines[0].pid, 'SIGKILL');
  await first.request('DELETE', '/sessions/b');
  await vi.waitFor(() => expect(sessionsKept()).toBe('cd'), WAIT);

  // Without what is being removed: it may go meanwhile.
  cpSync(kvDir(), join(folder.path, 'copy'), { recursive: true, filter: (path) => !path.includes('.gone') });
  await first.request('DELETE', '/sessions/c');
  await vi.waitFor(() => expect(sessionsKept()).toBe('d'), WAIT);
  await first.process.stop();
  // As if the node had been killed between the deletion and the removal of the file.
  cpSync(join(folder.path, 'copy'), kvDir(), { recursive: true });
  expect(sessionsKept()).toBe('cd');
  await start();
  await vi.waitFor(() => expect(sessionsKept()).toBe('d'), WAIT);
});

test('a session that is deleted while its first turn is under way leaves no file, whatever its sequence is needed for', async () => {
  const of = await start();
  for (const session of ['a', 'b']) await turn(of, session, 1);
  const body = { session_id: 'c', turn: 1, prompt: LONG, n_predict: 1000, ignore_eos: true, stream: true };
  const opening = await fetch(`${of.url}/completion`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: JSON_BODY,
  });
  const reader = opening.body?.getReader();
  await reader?.read();
  expect((await of.request('DELETE', '/sessions/c')).status).toBe(200);
  while ((await reader?.read())?.done === false);
  await turn(of, 'd', 1);
  await turn(of, 'a', 2);
  // The last one is saved ahead: by then what was in its sequence before has been displaced.
  await vi.waitFor(() => expect(sessionsKept()).toBe('abd'), WAIT);
});

test('a session that was drafted or cancelled, and has no turn, leaves no file when the node stops, and until then finds its state', async () => {
  const of = await start();
  const opened = { prompt: `I am c. ${LONG}`, session_id: 'c', turn: 1 };
  await of.turn({ ...opened, n_predict: 0 });
  const endless = { session_id: 'd', turn: 1, prompt: LONG, n_predict: 1000, ignore_eos: true, stream: true };
  const opening = await fetch(`${of.url}/completion`, {
    method: 'POST',
    body: JSON.stringify(endless),
    headers: JSON_BODY,
  });
  const reader = opening.body?.getReader();
  await reader?.read();
  expect((await of.request('POST', '/sessions/d/cancel')).body).toEqual({ cancelled: true });
  while ((await reader?.read())?.done === false);
  await turn(of, 'a', 1);
  await turn(of, 'b', 1);
  await vi.waitFor(() => expect(sessionsKept()).toBe('abcd'), WAIT);
  expect((await of.turn({ ...opened, n_predict: 0 })).timings.restored_n).toBeGreaterThan(100);
  await of.process.stop();
  expect(sessionsKept()).toBe('ab');
});
