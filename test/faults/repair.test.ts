/**
 * A cluster of two nodes as users start them. The first takes turns while the second is away, and is killed with its
 * nats-server before the second is back: nobody else has them. The client hands them over to the second; then the first returns.
 */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { freePort } from '../../tools/free-port.ts';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { Json } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;

let folder: ReturnType<typeof temporaryFolder>;
let ports: readonly [number, number];
let program: string;
const running = new Set<NodeProcess>();

beforeEach(async () => {
  folder = temporaryFolder();
  ports = [await freePort(), await freePort()];
  program = (await natsPrograms())[0]?.path as string;
});
afterEach(async () => {
  for (const node of running) await node.process.stop();
  running.clear();
  folder.remove();
});

async function start(nodeId: 'e1' | 'e2'): Promise<NodeProcess> {
  const [own, other] = nodeId === 'e1' ? [0, 1] : [1, 0];
  const node = await startNodeProcess([
    ...['--llm', 'scripted', '--store', 'nats', '--nats-program', program, '--node-id', nodeId],
    ...['--data-dir', join(folder.path, nodeId), '--nats-listen', `127.0.0.1:${ports[own]}`],
    ...['--peers', `e${other + 1}=127.0.0.1:${ports[other]}`],
  ]);
  running.add(node);
  return node;
}

async function stop(node: NodeProcess): Promise<void> {
  await node.process.stop();
  running.delete(node);
}

const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: WAIT_MS, interval: 50 });
const connected = (node: NodeProcess) =>
  eventually(async () =>
    expect((await node.get('/nodes')).body.nodes.slice(1)).toMatchObject([{ state: 'connected', lag: 0 }]),
  );
const toldOf = ({ turn, context_id, content }: Json) => ({ turn, context_id, prompt: `turn ${turn}`, reply: content });
const lines = ({ turns, branches }: Json): string[][] =>
  [turns, ...branches.map((branch: Json) => branch.turns)].map((line) => line.map((turn: Json) => turn.context_id));

test('what was acknowledged by a node that died with it goes on, and is kept beside it when the node is back', {
  timeout: 240_000,
}, async () => {
  let [e1, e2] = [await start('e1'), await start('e2')];
  await connected(e2);
  const replies = [await e1.turn({ session_id: 's', turn: 1, prompt: 'turn 1' })];
  await eventually(async () => expect((await e2.get('/sessions/s')).body.turns).toHaveLength(1));
  await stop(e2);
  for (const turn of [2, 3])
    replies.push(
      await e1.turn({ session_id: 's', turn, prompt: `turn ${turn}`, context_id: replies.at(-1).context_id }),
    );
  await stop(e1);

  e2 = await start('e2');
  const next = { session_id: 's', turn: 4, prompt: 'turn 4', context_id: replies[2].context_id };
  expect((await e2.post('/completion', next)).body.error).toMatchObject({ type: 'context_stale' });
  const far = await e2.post('/completion', { ...next, repair: [toldOf(replies[2])] });
  expect(far.body.error).toMatchObject({ type: 'repair_incomplete' });

  const repaired = await e2.turn({ ...next, repair: replies.map(toldOf) });
  expect(repaired).toMatchObject({
    turn: 4,
    node: 'e2',
    based_on_turn: 3,
    repaired_turns: 2,
    content: 'Turn 4: turn 4',
  });
  const held = (await e2.get('/sessions/s')).body;
  expect(held.turns.map((turn: Json) => turn.repairs)).toEqual([
    undefined,
    replies[1].context_id,
    replies[2].context_id,
    undefined,
  ]);
  // Durable as any other turn.
  e2.process.kill('SIGKILL');
  await e2.process.exited;
  running.delete(e2);
  e2 = await start('e2');
  expect(await e2.turn({ ...next, repair: replies.map(toldOf) })).toMatchObject({
    replayed: true,
    context_id: repaired.context_id,
  });

  e1 = await start('e1');
  await eventually(async () => {
    for (const node of [e1, e2]) {
      const branches = lines((await node.get('/sessions/s')).body);
      expect(branches.flat()).toHaveLength(6);
      expect(branches.flat()).toContain(replies[2].context_id);
      expect(branches[0]).toContain(repaired.context_id);
    }
  });
  const five = { session_id: 's', turn: 5, prompt: 'turn 5', context_id: repaired.context_id };
  expect(await e1.turn(five)).toMatchObject({ node: 'e1', content: 'Turn 5: turn 5', based_on_turn: 4 });
  const other = { session_id: 's', turn: 4, prompt: 'another device', context_id: replies[2].context_id };
  expect(await e2.turn(other)).toMatchObject({ content: 'Turn 4: another device', based_on_turn: 3 });
});
