// Three edge nodes as their own processes with real nats-servers, one of them under a clock that the test sets: in 1970 from its
// start on, right, and 25 hours ahead for seconds while expired sessions are swept every second. Every acknowledged turn must be
// there at every node, and each node must say how it stands with its clock.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ClockFile } from '../../tools/cluster/clock-file.ts';
import { compiledLibrary } from '../../tools/cluster/compiled.ts';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { Json } from '../../tools/test-node.ts';

const WAIT_MS = 60_000;
const HOUR_MS = 3_600_000;

let folder: ReturnType<typeof temporaryFolder>;
let clock: ClockFile;
let library: ReturnType<typeof compiledLibrary>;
const nodes: NodeProcess[] = [];

beforeEach(() => {
  folder = temporaryFolder();
  clock = new ClockFile(join(folder.path, 'clock'));
  library = compiledLibrary('skewed-clock', folder.path);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.process.stop()));
  folder.remove();
});

async function start(id: string, flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<NodeProcess> {
  const program = (await natsPrograms())[0]?.path as string;
  const node = await startNodeProcess(
    [
      ...['--node-id', id, '--llm', 'scripted', '--store', 'nats', '--nats-program', program],
      ...['--nats-listen', '127.0.0.1:0', '--data-dir', join(folder.path, id), '--expire-every-ms', '1000', ...flags],
    ],
    { env },
  );
  nodes.push(node);
  return node;
}

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 100 });
const listed = async (node: NodeProcess): Promise<Json[]> => (await node.get('/nodes')).body.nodes;
const clockOf = async (node: NodeProcess): Promise<Json> => (await listed(node))[0].clock;
const turnsAt = async (node: NodeProcess, session: string) =>
  (await node.get(`/sessions/${session}`)).body.turns?.length;

test('a node in 1970, set right, then 25 hours ahead for seconds', async (context) => {
  if (!('path' in library)) return context.skip(library.whyNot);
  clock.set(-Date.now());
  const a = await start('a', []);
  const peers = ['--peers', `a=${new URL((await listed(a))[0].nats_url).host}`];
  const b = await start('b', peers);
  const c = await start('c', peers, { LD_PRELOAD: library.path, SKEWED_CLOCK: clock.path });
  await eventually(async () => {
    for (const node of [a, b, c]) {
      expect((await listed(node)).map(({ state }) => state)).toEqual(['self', 'connected', 'connected']);
    }
  });

  const atAll = async (session: string, turns: number) => {
    for (const node of [a, b, c]) await eventually(async () => expect(await turnsAt(node, session)).toBe(turns));
  };
  await c.turn({ session_id: 'from-1970', turn: 1, prompt: 'hello', write_concern: 'replicated' });
  await atAll('from-1970', 1);
  await a.turn({ session_id: 'from-now', turn: 1, prompt: 'hello', write_concern: 'replicated' });
  await atAll('from-now', 1);
  expect(await clockOf(c)).toMatchObject({ trusted: false, doubt: 'behind' });
  await eventually(async () => expect(await clockOf(a)).toMatchObject({ trusted: true }));
  const seen = (await listed(a)).find(({ node }: Json) => node === 'c').clock;
  expect(seen.ahead_ms).toBeLessThan(-HOUR_MS);
  expect(seen.plus_minus_ms).toBeLessThan(60_000);

  clock.set(0);
  await eventually(async () => expect(await clockOf(c)).toMatchObject({ trusted: true }));
  await atAll('from-1970', 1);
  await b.turn({ session_id: 'from-1970', turn: 2, prompt: 'and on' });
  await atAll('from-1970', 2);

  clock.set(25 * HOUR_MS);
  await eventually(async () => expect(await clockOf(c)).toMatchObject({ trusted: false, doubt: 'stepped' }));
  await c.turn({ session_id: 'from-now', turn: 2, prompt: 'and on', write_concern: 'replicated' });
  expect((await listed(c))[0].clock.machine_ahead_ms).toBeGreaterThan(24 * HOUR_MS);
  // As long as it was in the case that lost everything.
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  await atAll('from-1970', 2);
  await atAll('from-now', 2);
  clock.set(0);
  await eventually(async () => expect(await clockOf(c)).toMatchObject({ trusted: true }));
  await atAll('from-1970', 2);
  await atAll('from-now', 2);
});
