// The LLM Service suite against a double of vLLM that has llama.cpp with the demo model behind it: over both of vLLM's APIs, with
// its tokenizer and with the model's file here.
import { fileURLToPath } from 'node:url';
import { connectVllm, type VllmOptions } from '../../src/llm-service/vllm.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';
import { BLOCK_TOKENS } from '../../tools/vllm-double/prefix-cache.ts';
import { startVllmDouble, type VllmDoubleOptions } from '../../tools/vllm-double/vllm-double.ts';
import { llmServiceSuite } from '../conformance/llm-service-suite.ts';
import { startDemoEngine, UNLIKE_LLAMA_CPP } from '../support/vllm.ts';

const KINDS: Readonly<Record<string, { double: Partial<VllmDoubleOptions>; options: Partial<VllmOptions> }>> = {
  'vLLM with /inference/v1/generate': { double: {}, options: {} },
  'vLLM with /v1/completions': { double: { scaleOut: false }, options: {} },
  'vLLM with a tokenizer.json here': {
    double: { tellsTokenizer: false },
    options: { tokenizer: { path: fileURLToPath(new URL('../data/demo-tokenizer/tokenizer.json', import.meta.url)) } },
  },
};

for (const [name, { double, options }] of Object.entries(KINDS)) {
  llmServiceSuite(
    name,
    async () => {
      const server = await startVllmDouble({ engine: await startDemoEngine(), ...double });
      const service = await connectVllm(
        { url: server.url, connectTimeoutMs: 5_000, idleTimeoutMs: 60_000, parallel: 4, ...options },
        virtualEnvironment(),
      );
      return {
        service,
        async stop() {
          await service.close();
          await server.stop();
        },
      };
    },
    { kind: 'model', streamExact: true, cacheBlockTokens: BLOCK_TOKENS, skip: UNLIKE_LLAMA_CPP },
  );
}
