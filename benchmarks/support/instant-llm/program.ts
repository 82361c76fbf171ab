// What an instant LLM runs; started by instant-llm.ts, which tells it its options. Tells where it listens, and its counts when asked.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openVocabulary } from '../../../src/llm-service/embedded/vocabulary.ts';
import type { InstantLlmOptions } from './instant-llm.ts';
import { llamaServerAnswers } from './llama-server-answers.ts';
import { openAiAnswers } from './openai-answers.ts';
import { serveReplies } from './reply-server.ts';

const {
  replyTokens = 32,
  replyMs = 0,
  slots = 16,
  tellsModelFile = true,
} = JSON.parse(process.argv[2] ?? '{}') as InstantLlmOptions;
const MODEL_FILE = resolve(fileURLToPath(new URL('../../../models/demo/demo.gguf', import.meta.url)));

const vocabulary = await openVocabulary(MODEL_FILE);
const modelPath = tellsModelFile ? MODEL_FILE : '';
const server = await serveReplies({
  ...(await llamaServerAnswers(vocabulary, { replyTokens, replyMs, slots, modelPath })),
  ...(await openAiAnswers(vocabulary, { replyTokens })),
});
process.on('message', () => process.send?.(server.counts()));
process.on('disconnect', () => process.exit());
process.send?.({ port: server.port });
