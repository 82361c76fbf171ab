// Conversations under a template of each class, with the demo model in process, streamed and not. Tries to find a prompt that is
// not as long as the whole rendering (Python's, where Python is there) with the exact ids that were read and written, and more
// ids evaluated in a turn than the class of the template promises.
import { startTestNode } from '../../../tools/test-node.ts';
import { holdComposedContexts, WINDOW } from '../../support/composed-contexts.ts';

holdComposedContexts(async (chatTemplateFile) => {
  const embedded = { llm: undefined, model: 'demo', contextTokens: WINDOW, parallel: 1 };
  return { node: await startTestNode({ ...embedded, chatTemplateFile }), lastPrompt: () => undefined };
});
