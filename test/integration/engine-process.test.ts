// Ends the process that llama.cpp runs in as native code, the kernel and operators do, in the middle of a stream, and
// wants of the node: a retryable error for that turn and nothing stored of it, everyone else's turns to go on, the session
// to go on afterwards, and no process left when the node ends, however it ends.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { type NodeProcess, startNodeProcess, temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';

const WAIT = { timeout: 30_000, interval: 20 };
const ENDLESS = { n_predict: 1_500, temperature: 0, ignore_eos: true, stream: true };

let folder: ReturnType<typeof temporaryFolder>;
let node: NodeProcess | undefined;
const opened: Array<() => Promise<unknown>> = [];
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  await node?.kill();
  for (const close of opened.splice(0).reverse()) await close();
  folder.remove();
});

const enginePid = async (of: NodeProcess): Promise<number> => (await of.get('/health')).body.engines[0].pid;
const runs = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** A stream that has begun, and what it comes to. */
async function begun(of: NodeProcess, body: object): Promise<{ readonly text: Promise<string> }> {
  const response = await fetch(`${of.url}/completion`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...ENDLESS, ...body }),
  });
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  let read = (await reader.read()).value ?? '';
  const rest = async (): Promise<string> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return read;
      read += value;
    }
  };
  const text = rest();
  // Looked at later than it may fail.
  text.catch(() => undefined);
  return { text };
}

describe('an engine that ends in the middle of a stream', () => {
  test.each(['SIGKILL', 'SIGABRT'] as const)('by %s', async (signal) => {
    const server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: 2_048, slots: 1 });
    opened.push(() => server.stop());
    const config = join(folder.path, 'models.yaml');
    writeFileSync(config, `models:\n  - {name: own, model: demo}\n  - {name: served, llm: '${server.url}'}\n`);
    node = await startNodeProcess(['--data-dir', folder.path, '--config', config]);
    const session = { session_id: 's', model: 'own' };
    await node.turn({ ...session, turn: 1, prompt: 'My name is Ada.', n_predict: 16 });

    const other = await begun(node, {
      session_id: 'o',
      turn: 1,
      prompt: 'Tell me more.',
      model: 'served',
      n_predict: 600,
    });
    const cut = await begun(node, { ...session, turn: 2, prompt: 'Tell me about robots.' });
    const first = await enginePid(node);
    process.kill(first, signal);
    expect(await cut.text).toContain('llm_unavailable');
    expect((await node.get('/sessions/s')).body.turns).toHaveLength(1);

    const again = await node.turn({ ...session, turn: 2, prompt: 'What is my name?', n_predict: 16, temperature: 0 });
    expect(again.content).toContain('Ada');
    expect(await other.text).toContain('"stop":true');
    const { engines } = (await node.get('/health')).body;
    expect(engines).toEqual([{ model: 'own', is_up: true, pid: expect.any(Number), restarts: 1 }]);
    expect(engines[0].pid).not.toBe(first);
    expect((await node.get('/nodes')).body.nodes[0]).toMatchObject({ state: 'self', engines });
    const metrics = (await node.get('/metrics')).text;
    expect(metrics).toContain('discedge_engine_up{model="own"} 1');
    expect(metrics).toContain('discedge_engine_restarts{model="own"} 1');
    expect(node.process.log()).toMatch(/"how":"(SIGKILL|SIGABRT)".*"event":"llm\.engine_ended"/);
  });
});

describe('an engine outlives its node in no case', () => {
  test('not a kill -9 of the node, in the middle of a stream', async () => {
    node = await startNodeProcess(['--store', 'memory', '--data-dir', folder.path]);
    const pid = await enginePid(node);
    const cut = await begun(node, { prompt: 'Tell me about robots.' });
    await node.kill();
    await cut.text.catch(() => '');
    await vi.waitFor(() => expect(runs(pid)).toBe(false), WAIT);
  });

  test('not a SIGTERM or an interrupt to all of them at once, which the turn under way survives', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      node = await startNodeProcess(['--store', 'memory', '--data-dir', folder.path]);
      const pid = await enginePid(node);
      const running = await begun(node, { prompt: 'Tell me about robots.', n_predict: 300 });
      process.kill(pid, signal);
      node.process.kill(signal);
      expect(await running.text).toContain('"stop":true');
      expect(await node.process.exited).toEqual({ code: 0, signal: null });
      expect(runs(pid)).toBe(false);
    }
  });
});
