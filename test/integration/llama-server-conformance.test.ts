// The LLM Service suite against a stock llama-server with the demo model.
import { fileURLToPath } from 'node:url';
import { connectLlamaServer } from '../../src/llm-service/llama-server.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';
import { llmServiceSuite } from '../conformance/llm-service-suite.ts';
import { warmingSuite } from '../conformance/warming-suite.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));

const start = async () => {
  const server = await startLlamaServer({ modelPath, contextTokens: 1024, slots: 2 });
  const service = await connectLlamaServer(
    { url: server.url, connectTimeoutMs: 5_000, idleTimeoutMs: 60_000 },
    virtualEnvironment(),
  );
  return {
    service,
    async stop() {
      await service.close();
      await server.stop();
    },
  };
};

llmServiceSuite('llama-server', start, { kind: 'model', streamExact: true });
warmingSuite('llama-server', start);
