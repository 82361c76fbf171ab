import type { TurnReply } from '../../../context-manager/turn/turn.ts';
import type { StopReason } from '../../../domain/record/turn-record.ts';
import type { CompletionReply } from './completion-schema.ts';

/** llama.cpp's words for how a reply ended. */
export const STOP_TYPES = { end: 'eos', limit: 'limit', word: 'word' } as const satisfies Record<
  StopReason['kind'],
  string
>;

/** A turn's reply with llama.cpp's fields and DisCEdge's (DESIGN §10). */
export function completionReply(
  reply: TurnReply,
  {
    model,
    node,
    requestBytes,
    returnTokens,
  }: { model: string; node: string; requestBytes: number; returnTokens: boolean },
): CompletionReply {
  const { usage } = reply;
  return {
    ...reply.fields,
    content: reply.text,
    tokens: returnTokens ? [...reply.replyIds] : [],
    stop: true,
    model,
    ...(reply.sessionId === undefined ? {} : { session_id: reply.sessionId }),
    user_id: reply.userId,
    mode: reply.mode,
    ...(reply.turn === undefined ? {} : { turn: reply.turn }),
    ...(reply.contextId === undefined ? {} : { context_id: reply.contextId }),
    node,
    request_size: requestBytes,
    retries: reply.retries,
    waited_ms: rounded(reply.waitedMs),
    ...(reply.basedOnTurn === undefined ? {} : { based_on_turn: reply.basedOnTurn }),
    replayed: reply.replayed,
    ...(reply.writeConcern === undefined ? {} : { write_concern: reply.writeConcern }),
    ...(reply.replicas === undefined ? {} : { replicas: reply.replicas }),
    dropped_turns: reply.droppedTurns,
    exact_ids: reply.exact,
    stop_type: STOP_TYPES[reply.stop.kind],
    stopping_word: reply.stop.kind === 'word' ? reply.stop.word : '',
    tokens_predicted: usage.predictedTokens,
    tokens_evaluated: reply.promptTokens,
    tokens_cached: reply.replayed ? 0 : reply.promptTokens + usage.predictedTokens,
    truncated: reply.droppedTurns > 0,
    timings: {
      cache_n: usage.cachedTokens,
      prompt_n: usage.evaluatedTokens,
      prompt_ms: rounded(usage.promptMs),
      prompt_per_token_ms: ratio(usage.promptMs, usage.evaluatedTokens),
      prompt_per_second: ratio(usage.evaluatedTokens * 1000, usage.promptMs),
      predicted_n: usage.predictedTokens,
      predicted_ms: rounded(usage.predictedMs),
      predicted_per_token_ms: ratio(usage.predictedMs, usage.predictedTokens),
      predicted_per_second: ratio(usage.predictedTokens * 1000, usage.predictedMs),
    },
  };
}

function ratio(over: number, under: number): number {
  return under === 0 ? 0 : rounded(over / under);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
