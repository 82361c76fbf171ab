// The LLM Service conformance suite against the scripted service, so that tests which stand on it stand on the port.
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startScripted } from '../../src/llm-service/scripted.ts';
import { llmServiceSuite } from './llm-service-suite.ts';

llmServiceSuite(
  'scripted',
  async () => {
    const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
    const service = startScripted({ contextTokens: 4096 }, environment);
    return { service, stop: () => service.close() };
  },
  { kind: 'script', streamExact: true },
);
