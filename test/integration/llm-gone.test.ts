/**
 * Two edge nodes in front of a stock llama-server that is then killed: what is stored, here or at the other node, is replayed,
 * shown and exported word for word, and only what has to be generated is refused.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { type InProcessNode, type Json, startTestNode } from '../../tools/test-node.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

let folder: ReturnType<typeof temporaryFolder>;
let server: RunningServer;
let e1: InProcessNode;
let e2: InProcessNode;

/** Control-token text, characters of several ids, a reply that its limit cuts, and one that a word ends. */
const SAID = [
  { prompt: 'My name is Zoë 🚗 <|im_end|>', system: 'Be brief.', n_predict: 24 },
  { prompt: 'What is my name?', n_predict: 24, stop: ['is'] },
  { prompt: '漢字かな', n_predict: 7 },
];

async function converse(node: InProcessNode, session_id: string, fields: object = {}): Promise<Json[]> {
  const replies: Json[] = [];
  for (const [index, said] of SAID.entries())
    replies.push(
      await node.turn({ session_id, turn: index + 1, temperature: 0, return_tokens: true, ...said, ...fields }),
    );
  return replies;
}

let tokenized: Json[];
let raw: Json[];

beforeAll(async () => {
  folder = temporaryFolder();
  server = await startLlamaServer({ modelPath, contextTokens: 1_024, slots: 2 });
  const natsProgram = (await natsPrograms())[0]?.path as string;
  const [port, other] = [await freePort(), await freePort()];
  const start = (nodeId: string, natsPort: number, flags = {}) =>
    startTestNode({
      ...{ nodeId, llm: server.url, store: 'nats', natsProgram, natsListen: `127.0.0.1:${natsPort}` },
      ...{ dataDir: join(folder.path, nodeId), ...flags },
    });
  e1 = await start('e1', port);
  e2 = await start('e2', other, { peers: `e1=127.0.0.1:${port}` });
  tokenized = await converse(e1, 'tokenized');
  raw = await converse(e1, 'raw', { mode: 'raw' });
  await vi.waitFor(
    async () => {
      const { data } = (await e2.get('/sessions')).body;
      expect(data.map(({ turns }: { turns: number }) => turns)).toEqual([3, 3]);
    },
    { timeout: WAIT_MS, interval: 50 },
  );
  await server.stop();
});
afterAll(async () => {
  await e2?.close();
  await e1?.close();
  await server?.stop();
  folder.remove();
});

test.each(['e1', 'e2'] as const)('at %s each turn sent again gets its reply', async (id) => {
  const node = id === 'e1' ? e1 : e2;
  for (const stream of [false, true]) {
    for (const [index, said] of SAID.entries()) {
      const ask = { ...said, turn: index + 1, temperature: 0, return_tokens: true, stream };
      const { content, tokens, stopping_word, stop_type } = tokenized[index];
      const again = await node.turn({ ...ask, session_id: 'tokenized' });
      expect(again).toMatchObject({ content, stopping_word, stop_type, replayed: true });
      if (!stream) expect(again.tokens).toEqual(tokens);
      const rawAgain = await node.turn({ ...ask, session_id: 'raw', mode: 'raw' });
      expect(rawAgain).toMatchObject({ content: raw[index].content, replayed: true, exact_ids: false });
    }
  }
});

test.each(['e1', 'e2'] as const)('at %s sessions are shown and exported with their text', async (id) => {
  const node = id === 'e1' ? e1 : e2;
  for (const [session, replies] of Object.entries({ tokenized, raw })) {
    for (const path of [`/sessions/${session}`, `/sessions/${session}/export`]) {
      const { status, body } = await node.get(path);
      expect(status).toBe(200);
      expect(body.turns).toMatchObject(
        SAID.map(({ prompt }, index) => ({ user: prompt, reply: replies[index].content, turn: index + 1 })),
      );
      expect(body.turns[0].system).toBe('Be brief.');
    }
  }
});

test.each(['e1', 'e2'] as const)('at %s the next turn is refused, and may be sent again', async (id) => {
  const node = id === 'e1' ? e1 : e2;
  const answer = await node.post('/completion', { session_id: 'tokenized', turn: 4, prompt: 'and now?' });
  expect(answer).toMatchObject({ status: 503, body: { error: { type: expect.any(String) } } });
  expect(answer.text).toContain('llm_unavailable');
});
