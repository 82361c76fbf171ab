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
  const message = {
    ...{ id: 'msg_#', type: 'message', role: 'assistant', status: 'completed' },
    content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
  };
  const responsesUsage = {
    ...{ input_tokens: 1, output_tokens: replyTokens, total_tokens: replyTokens + 1 },
    ...{ input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
  };
  const [response = '', ...rest] = JSON.stringify({
    ...{ id: 'resp_#', object: 'response', created_at: 1, status: 'completed', model: MODEL, error: null },
    ...{ incomplete_details: null, instructions: null, metadata: {}, output: [message], parallel_tool_calls: true },
    ...{ previous_response_id: null, temperature: 0, tool_choice: 'auto', tools: [], top_p: 1, truncation: 'disabled' },
    ...{ store: false, text: { format: { type: 'text' } }, reasoning: { effort: null, summary: null } },
    usage: responsesUsage,
  }).split('#');
  let responses = 0;
  return {
    '/v1/models': async () => ({
      text: JSON.stringify({
        object: 'list',
        data: [{ id: MODEL, object: 'model', meta: { n_vocab: vocabulary.description.vocabularySize } }],
      }),
    }),
    '/v1/chat/completions': async (body) =>
      /"stream":\s*true/.test(body) ? { text: streamed, isStream: true } : { text: whole },
    // Gateways keep replies and messages under the ids that they have here.
    '/v1/responses': async () => {
      const name = `instant${process.pid}x${++responses}`;
      return { text: response + rest.map((more) => name + more).join('') };
    },
  };
}
