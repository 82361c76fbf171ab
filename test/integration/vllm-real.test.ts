// The LLM Service suite against a real vLLM that someone has started, and a conversation that roams between two nodes in front of it;
// `npm run test:vllm -- --url URL` names it.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { connectVllm } from '../../src/llm-service/vllm.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { type Json, startTestNode } from '../../tools/test-node.ts';
import { llmServiceSuite } from '../conformance/llm-service-suite.ts';
import { UNLIKE_LLAMA_CPP } from '../support/vllm.ts';

const { DISCEDGE_TEST_VLLM_URL: url = '', DISCEDGE_TEST_VLLM_TOKENIZER: path } = process.env;
const tokenizer = path === undefined ? undefined : { path };

const suite = url === '' ? () => test.skip('a real vLLM is not named') : llmServiceSuite;

suite(
  'a real vLLM',
  async () => {
    const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
    const options = { url, connectTimeoutMs: 5_000, idleTimeoutMs: 120_000, parallel: 4, tokenizer };
    const service = await connectVllm(options, environment);
    return { service, stop: () => service.close() };
  },
  { kind: 'model', streamExact: true, cacheBlockTokens: 128, skip: UNLIKE_LLAMA_CPP },
);

test.skipIf(url === '')('a conversation roams between two nodes in front of it', async () => {
  const folder = temporaryFolder();
  const natsProgram = (await natsPrograms())[0]?.path;
  const start = (nodeId: string, peers?: string) => {
    const nats = { store: 'nats', natsProgram, natsListen: '127.0.0.1:0', dataDir: join(folder.path, nodeId) };
    return startTestNode({ nodeId, llm: url, llmTokenizer: path ?? 'server', ...nats, ...(peers && { peers }) });
  };
  const a = await start('a');
  const b = await start('b', `a=${new URL((await a.get('/nodes')).body.nodes[0].nats_url).host}`);
  try {
    const replies: Json[] = [];
    for (const [i, prompt] of [
      'My name is Zorvik.',
      'What is my name?',
      'Call me Mirela.',
      'What is my name?',
    ].entries()) {
      const fields = { session_id: 's', turn: i + 1, prompt, temperature: 0, n_predict: 24, max_wait_ms: 30_000 };
      const stream = i % 2 === 0;
      replies.push(await (stream ? a : b).turn({ ...fields, stream, context_id: replies.at(-1)?.context_id }));
    }
    expect(replies.map(({ based_on_turn: turn }) => turn)).toEqual([0, 1, 2, 3]);
    expect(replies[1]?.content).toContain('Zorvik');
    expect(replies[3]?.content).toContain('Mirela');
  } finally {
    await b.close();
    await a.close();
    folder.remove();
  }
});
