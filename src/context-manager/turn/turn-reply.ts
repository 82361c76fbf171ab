import type { Turn } from '../../domain/session-history.ts';
import type { GenerationEnd } from '../../llm-service/llm-service.ts';
import type { StoredReply } from '../modes/mode.ts';
import type { TurnReply, TurnRequest } from './turn.ts';
import type { GatePass } from './turn-gate.ts';
import { LOCAL } from './write-concerns.ts';

/** A reply that was generated now; `promptTokens` is the length of its prompt. */
export function generatedReply(turn: Turn, end: GenerationEnd, promptTokens: number, pass: GatePass): TurnReply {
  return { ...placeOf(turn, pass), ...wordsOf(end, promptTokens), replayed: false };
}

/** A reply that was stored before, whole. */
export function replayedReply(turn: Turn, { reply, replyIds, exact }: StoredReply, pass: GatePass): TurnReply {
  return {
    ...placeOf(turn, pass),
    replayed: true,
    text: reply,
    replyIds,
    exact,
    promptTokens: 0,
    stop: turn.record.stop,
    usage: { cachedTokens: 0, evaluatedTokens: 0, promptMs: 0, predictedTokens: replyIds.length, predictedMs: 0 },
    fields: {},
  };
}

/** A reply that nothing is kept of. */
export function forwardedReply(request: TurnRequest, end: GenerationEnd, promptTokens: number): TurnReply {
  return {
    ...wordsOf(end, promptTokens),
    userId: request.userId,
    sessionId: request.sessionId,
    mode: 'client-side',
    turn: request.turn,
    contextId: undefined,
    basedOnTurn: undefined,
    replayed: false,
    waitedMs: 0,
    retries: 0,
    writeConcern: undefined,
    replicas: undefined,
    droppedTurns: 0,
  };
}

function placeOf({ record, hash }: Turn, { waitedMs, retries }: GatePass) {
  return {
    userId: record.userId,
    sessionId: record.sessionId,
    mode: record.payload.mode,
    turn: record.turn,
    contextId: hash,
    basedOnTurn: record.turn - 1,
    droppedTurns: record.contextStart - 1,
    waitedMs,
    retries,
    ...LOCAL,
  };
}

function wordsOf(end: GenerationEnd, promptTokens: number) {
  return {
    text: end.text,
    replyIds: end.ids,
    exact: end.exact,
    promptTokens,
    stop: end.stop,
    usage: end.usage,
    fields: end.fields ?? {},
  };
}
