import { fileURLToPath } from 'node:url';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startEmbedded } from '../../src/llm-service/embedded.ts';
import type { LlmService } from '../../src/llm-service/llm-service.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

/** Tests of the suite that vLLM cannot pass, and why. */
export const UNLIKE_LLAMA_CPP = {
  'tells on the way what is asked for, and nothing else':
    'vLLM says nothing of a prompt before the first id, and what was cached only behind the last one',
  'post_sampling_probs tells what was left to draw from':
    'vLLM tells what the model said, and nothing of what sampling left',
} as const;

/** llama.cpp with the demo model, for a double of vLLM to stand before. */
export function startDemoEngine(): Promise<LlmService> {
  const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
  return startEmbedded({ modelPath, contextTokens: 1024, parallel: 4 }, environment);
}
