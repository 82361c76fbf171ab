// The LLM Service conformance suite against llama.cpp in this process with the demo model.
import { fileURLToPath } from 'node:url';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startEmbedded } from '../../src/llm-service/embedded.ts';
import { llmServiceSuite } from './llm-service-suite.ts';
import { warmingSuite } from './warming-suite.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

const start = async () => {
  const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
  const service = await startEmbedded({ modelPath, contextTokens: 2048 }, environment);
  return { service, stop: () => service.close() };
};

llmServiceSuite('embedded', start, { kind: 'model', streamExact: true });
warmingSuite('embedded', start);
