// The LLM Service conformance suite against llama.cpp in a process of its own, with the demo model.
import { fileURLToPath } from 'node:url';
import { EMBEDDED_PROGRAM, launchEngine } from '../../src/edge-node/engine-process/launch-engine.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startEngineProcess } from '../../src/llm-service/engine-process.ts';
import { llmServiceSuite } from './llm-service-suite.ts';
import { warmingSuite } from './warming-suite.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

const start = async () => {
  const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
  const options = { modelPath, contextTokens: 2048 };
  const service = await startEngineProcess(() => launchEngine(EMBEDDED_PROGRAM, options), environment);
  return { service, stop: () => service.close() };
};

llmServiceSuite('an engine process', start, { kind: 'model', streamExact: true });
warmingSuite('an engine process', start);
