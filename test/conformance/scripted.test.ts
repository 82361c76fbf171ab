// The LLM Service conformance suite against the scripted service, so that tests which stand on it stand on the port.
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { llmServiceSuite } from './llm-service-suite.ts';
import { warmingSuite } from './warming-suite.ts';

llmServiceSuite(
  'scripted',
  async () => {
    const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
    const service = startScripted({ contextTokens: 4096 }, environment);
    return { service, stop: () => service.close() };
  },
  { kind: 'script', streamExact: true },
);

warmingSuite('scripted', async () => {
  const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
  const cache = { sequences: 8, msPerToken: 0.02 };
  const service = startScripted({ contextTokens: 4096, parallel: cache.sequences, cache }, environment);
  return { service, stop: () => service.close() };
});
