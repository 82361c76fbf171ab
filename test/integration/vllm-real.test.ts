// The LLM Service suite against a real vLLM that someone has started; `npm run test:vllm -- --url URL` names it.
import { test } from 'vitest';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { connectVllm } from '../../src/llm-service/vllm.ts';
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
