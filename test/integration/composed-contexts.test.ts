// Conversations under a template of each class, with the demo model, embedded and behind a stock llama-server, streamed and not.
// Tries to find a prompt that is not the whole rendering (Python's, where Python is there) with the exact ids that were read and
// written (embedded: of another length), and more ids evaluated in a turn than the class of the template promises.
import { afterAll, beforeAll, describe } from 'vitest';
import { DEMO_MODEL_PATH } from '../../src/edge-node/models/demo-model.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { startTestNode } from '../../tools/test-node.ts';
import { holdComposedContexts, WINDOW } from '../support/composed-contexts.ts';
import { type RecordingProxy, recordingProxy } from '../support/recording-proxy.ts';

describe('embedded', () => {
  holdComposedContexts(async (chatTemplateFile) => {
    const embedded = { llm: undefined, model: 'demo', contextTokens: WINDOW, parallel: 1 };
    return { node: await startTestNode({ ...embedded, chatTemplateFile }), lastPrompt: () => undefined };
  });
});

describe('in front of a llama-server', () => {
  let server: RunningServer;
  let proxy: RecordingProxy;
  beforeAll(async () => {
    server = await startLlamaServer({ modelPath: DEMO_MODEL_PATH, contextTokens: WINDOW, slots: 1 });
    proxy = await recordingProxy(server.url);
  });
  afterAll(async () => {
    await proxy?.close();
    await server?.stop();
  });

  holdComposedContexts(async (chatTemplateFile) => ({
    node: await startTestNode({ llm: proxy.url, chatTemplateFile }),
    lastPrompt: () => proxy.prompts.at(-1),
  }));
});
