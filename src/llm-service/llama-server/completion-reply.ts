import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TokenId } from '../../domain/token-sequence.ts';
import type { GenerationUsage } from '../llm-service.ts';
import { badReply, errorOfReply } from './server-errors.ts';

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Milliseconds = Type.Number({ minimum: 0 });

const Timings = Type.Object({
  cache_n: Count,
  prompt_n: Count,
  prompt_ms: Milliseconds,
  predicted_ms: Milliseconds,
});

/** What every event of a streamed reply has, and a reply in one piece too (llama-server `/completion`). */
const Chunk = Type.Object({
  content: Type.String(),
  tokens: Type.Array(Count),
  tokens_predicted: Count,
  stop: Type.Boolean(),
  prompt_progress: Type.Optional(Type.Object({ total: Count, cache: Count, processed: Count, time_ms: Milliseconds })),
  timings: Type.Optional(Timings),
});

/** The last event of a stream, and a reply in one piece. */
const Final = Type.Object({
  ...Chunk.properties,
  stop: Type.Literal(true),
  stop_type: Type.Union([Type.Literal('eos'), Type.Literal('limit'), Type.Literal('word')]),
  stopping_word: Type.String(),
  tokens_evaluated: Count,
  truncated: Type.Boolean(),
  id_slot: Type.Integer(),
  model: Type.Optional(Type.String()),
  timings: Timings,
  generation_settings: Type.Optional(Type.Unsafe<Readonly<Record<string, unknown>>>(Type.Object({}))),
});

const isChunk = Compile(Chunk);
const isFinal = Compile(Final);

/** Fields left out of the reply's extras: said in our own words, too large, or of interest to one request only. */
const OWN_FIELDS = new Set([
  ...['index', 'content', 'tokens', 'stop', 'prompt', 'id_slot', 'tokens_predicted', 'tokens_evaluated'],
  ...['prompt_progress', 'generation_settings', 'model', 'timings'],
  ...['stop_type', 'stopping_word', 'truncated', 'tokens_cached', 'has_new_line'],
]);

export interface CompletionChunk {
  readonly text: string;
  readonly ids: readonly TokenId[];
  /** Ids sampled so far, this chunk's included. */
  readonly predicted: number;
  readonly progress: Static<typeof Chunk>['prompt_progress'];
  /** Of all ids sampled so far. */
  readonly usage: GenerationUsage | undefined;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
  readonly final: FinalReply | undefined;
}

export type FinalReply = Omit<Static<typeof Final>, 'content' | 'tokens' | 'stop' | 'prompt_progress'>;

/**
 * Checks one event of a stream or a whole reply. Throws `llm_bad_reply` for what is neither, and what an `error` event
 * says for such an event.
 */
export function readCompletion(
  value: unknown,
  { url, vocabularySize }: { url: URL; vocabularySize: number },
): CompletionChunk {
  if (!isChunk.Check(value)) throw errorIn(value, url) ?? badReply(url, 'something that is not a completion');
  if (value.stop && !isFinal.Check(value)) throw badReply(url, 'a completion whose end makes no sense');
  // A progress event carries an id that was never sampled.
  const ids = value.prompt_progress === undefined ? value.tokens : [];
  for (const id of ids) {
    if (id >= vocabularySize) throw badReply(url, 'an id outside its vocabulary');
  }
  return {
    text: value.content,
    ids: ids as TokenId[],
    predicted: value.tokens_predicted,
    progress: value.prompt_progress,
    usage: value.timings && usageOf(value.timings, value.tokens_predicted),
    fields: otherFields(value),
    final: value.stop ? (value as unknown as FinalReply) : undefined,
  };
}

function errorIn(value: unknown, url: URL): Error | undefined {
  const status = (value as { error?: { code?: unknown } } | null)?.error?.code;
  return Number.isInteger(status) ? errorOfReply(url, status as number, value) : undefined;
}

export function usageOf(timings: Static<typeof Timings>, predictedTokens: number): GenerationUsage {
  return {
    cachedTokens: timings.cache_n,
    evaluatedTokens: timings.prompt_n,
    promptMs: timings.prompt_ms,
    predictedTokens,
    predictedMs: timings.predicted_ms,
  };
}

function otherFields(value: object): Readonly<Record<string, unknown>> | undefined {
  if (Object.keys(value).every((name) => OWN_FIELDS.has(name))) return undefined;
  return Object.fromEntries(Object.entries(value).filter(([name]) => !OWN_FIELDS.has(name)));
}
