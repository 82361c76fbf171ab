import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import type { ServerFacts } from '../../../src/llm-service/llama-server/describe-server.ts';
import { readStreamedReply, readWholeReply } from '../../../src/llm-service/llama-server/read-reply.ts';
import { chunk, DOUBLE_END, DOUBLE_VOCABULARY, final } from '../../support/llama-server-double.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const MAX_TOKENS = 64;
const bytesOf = async (text: string) => [...Buffer.from(text)] as TokenId[];
const facts = {
  description: { vocabularySize: DOUBLE_VOCABULARY, endOfGeneration: new Set([DOUBLE_END as TokenId]) },
  servedModel: 'double',
  eos: DOUBLE_END as TokenId,
  tokenizer: {
    tokenize: bytesOf,
    detokenize: async (ids: readonly number[]) => Buffer.from(ids.filter((id) => id < 256)).toString(),
  },
} as unknown as ServerFacts;

/** Replies of a llama-server that is broken or hostile, whole and as events. None gives more ids than were asked for. */
export const open: OpenTarget = () => ({
  seeds: [
    [chunk('o', [111], 1), chunk('k', [107], 2), chunk('', [DOUBLE_END], 3), final(4, 3)],
    [chunk('a', [97], 1), chunk('d', [100], 4), final(4, 4, { stop_type: 'word', stopping_word: 'x' })],
    [final(4, 3, { content: 'ok', tokens: [111, 107, DOUBLE_END], completion_probabilities: [] })],
    [{ error: { code: 400, message: 'no', type: 'invalid_request_error', n_ctx: 3 } }],
    [chunk('', [], 0, { prompt_progress: { total: 4, cache: 0, processed: 2, time_ms: 1 } }), final(4, 0)],
  ].map((events) => JSON.stringify(events)),
  words: ['stop_type', 'limit', 'word', 'eos', 'tokens', 'timings', 'tokens_predicted', 'truncated', 'prompt_progress'],
  isJson: true,
  async check(input) {
    const events = listOf(input);
    const context = { ...{ url: new URL('http://a'), facts, promptTokens: 4, maxTokens: MAX_TOKENS }, ...asked };
    for (const event of events) await refused(() => readWholeReply(event, context));
    await refused(async () => {
      let ids = 0;
      const batches = (async function* () {
        for (const event of events) yield [typeof event === 'string' ? event : JSON.stringify(event)];
      })();
      for await (const part of readStreamedReply(batches, context)) if (part.kind === 'part') ids += part.ids.length;
      if (ids > MAX_TOKENS) throw new Error('more ids than were asked for');
    });
  },
});

const asked = { tell: { progress: true, usage: true }, signal: new AbortController().signal };

async function refused(read: () => unknown): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof DiscedgeError) || error.code === 'internal_error') throw error;
  }
}

function listOf(input: Buffer): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(input.toString());
    return Array.isArray(value) ? value : [value];
  } catch {
    return [input.toString()];
  }
}
