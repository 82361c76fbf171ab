import { DiscedgeError } from '../../../src/domain/errors.ts';
import { ReplyReader } from '../../../src/llm-service/vllm/generation-reply.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const usage = { prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } };
const choice = (fields: object) => ({ text: 'o', token_ids: [111], finish_reason: null, ...fields });
const logprobs = { tokens: ['token_id:111'], token_logprobs: [-0.5], top_logprobs: [{ 'token_id:7': -1 }] };

/** Replies of a vLLM that is broken or hostile. */
export const open: OpenTarget = () => ({
  seeds: [
    [
      { choices: [choice({})] },
      { choices: [choice({ finish_reason: 'stop', stop_reason: 7 })] },
      { choices: [], usage },
    ],
    [{ model: 'm', choices: [choice({ token_ids: [1, 2], finish_reason: 'length', logprobs })], usage }],
    [{ error: { code: 400, message: 'no' } }],
  ].map((events) => JSON.stringify(events)),
  words: [
    'finish_reason',
    'stop_reason',
    'length',
    'stop',
    'abort',
    'token_ids',
    'logprobs',
    'usage',
    'token_id:1',
    '[DONE]',
  ],
  isJson: true,
  async check(input) {
    const reader = new ReplyReader({
      ...{ url: new URL('http://a'), promptTokens: 3, maxTokens: 16, vocabularySize: 256 },
      shownBytes: async (ids) => ids.map((id) => Buffer.of(id)),
    });
    try {
      const events = reader.parse(input.toString());
      for (const event of Array.isArray(events) ? events : [events]) await reader.push(event);
      if (reader.end().ids.length > 16) throw new Error('more ids than were asked for');
    } catch (error) {
      if (!(error instanceof DiscedgeError) || error.code === 'internal_error') throw error;
    }
  },
});
