import type { Vocabulary } from '../../../src/llm-service/llm-service.ts';
import { replyOf } from './llama-server-answers.ts';
import type { Answer } from './reply-server.ts';

const MODEL = 'demo';

/** OpenAI's chat completions and responses, and what gateways ask an LLM server for when they take it in. */
export async function openAiAnswers(
  vocabulary: Vocabulary,
  { replyTokens }: { replyTokens: number },
): Promise<Record<string, Answer>> {
  const { text, pieces } = await replyOf(vocabulary, replyTokens);
  const usage = { prompt_tokens: 1, completion_tokens: replyTokens, total_tokens: replyTokens + 1 };
  const head = { id: 'chatcmpl-instant', created: 1, model: MODEL };
  const whole = JSON.stringify({
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage,
  });
  const chunk = (delta: object, end: object = { finish_reason: null }) =>
    `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, ...end }] })}\n\n`;
  const streamed = [
    chunk({ role: 'assistant', content: '' }),
    ...pieces.map((content) => chunk({ content })),
    chunk({}, { finish_reason: 'stop' }),
    `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\n`,
    'data: [DONE]\n\n',
  ].join('');
  return {
    '/v1/models': async () => ({
      text: JSON.stringify({
        object: 'list',
        data: [{ id: MODEL, object: 'model', meta: { n_vocab: vocabulary.description.vocabularySize } }],
      }),
    }),
    '/v1/chat/completions': async (body) =>
      /"stream":\s*true/.test(body) ? { text: streamed, isStream: true } : { text: whole },
  };
}
