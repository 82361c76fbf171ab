// Hangs llama.cpp inside a node and then wants everything of the node that it promises: an answer to the turn, an end to
// a turn whose client has left, and an end to the process. The grammar is one that no check can refuse in general: the
// ways to read its text double with every character.
import { afterEach, expect, test } from 'vitest';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';

const DOUBLING = 'root ::= "a" root [b]? | "a" root [c]? | "a" root [d]?';

const ENDED_WELL = { code: 0, signal: null };

const folder = temporaryFolder();
let node: NodeProcess | undefined;
afterEach(async () => {
  await node?.kill();
  folder.remove();
});

test('a turn that hangs is answered with llm_timeout, the engine is started again, and the node stops when it is told to', async () => {
  node = await startNodeProcess(['--store', 'memory', '--data-dir', folder.path, '--llm-idle-timeout-ms', '1000']);
  const response = await fetch(`${node.url}/completion`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'hi', n_predict: 500, grammar: DOUBLING }),
  });
  expect(response.status).toBe(504);
  expect(await response.json()).toMatchObject({ error: { type: 'llm_timeout' } });
  await node.turn({ prompt: 'My name is Ada.', n_predict: 8 });
  const { engines } = (await node.get('/health')).body;
  expect(engines).toEqual([{ model: expect.any(String), is_up: true, pid: expect.any(Number), restarts: 1 }]);
  node.process.kill('SIGTERM');
  expect(await node.process.exited).toEqual(ENDED_WELL);
});

test('a node with a turn that hangs and is not given up yet stops when it is told to', async () => {
  node = await startNodeProcess(['--store', 'memory', '--data-dir', folder.path]);
  const hanging = fetch(`${node.url}/completion`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'hi', n_predict: 500, grammar: DOUBLING, stream: true }),
  });
  const answered = hanging.then(async (response) => response.text()).catch(() => '');
  await hanging;
  node.process.kill('SIGTERM');
  expect(await node.process.exited).toEqual(ENDED_WELL);
  await answered;
});
