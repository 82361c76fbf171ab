import type { Turn } from '../../domain/session-history.ts';
import type { GenerationEnd } from '../../llm-service/llm-service.ts';
import type { EnteredPass } from '../arbitration/arbitration.ts';
import type { StoredReply } from '../modes/mode.ts';
import type { Reply, TurnReply } from './turn.ts';
import type { GatePass } from './turn-gate.ts';
import { LOCAL } from './write-concerns.ts';

/** The reply to a turn that was answered now; `promptTokens` is the length of its prompt. */
export function answeredReply(
  turn: Turn,
  end: GenerationEnd,
  { promptTokens, rewrittenTokens }: Pick<TurnReply, 'promptTokens' | 'rewrittenTokens'>,
  pass: EnteredPass,
): TurnReply {
  const { isArbitrated: arbitrated } = pass.held;
  return { ...placeOf(turn, pass), ...generatedReply(end, promptTokens), rewrittenTokens, replayed: false, arbitrated };
}

/** A reply that was stored before, whole. */
export function replayedReply(turn: Turn, { reply, replyIds, exact }: StoredReply, pass: GatePass): TurnReply {
  return {
    ...placeOf(turn, pass),
    replayed: true,
    rewrittenTokens: 0,
    arbitrated: undefined,
    text: reply,
    replyIds,
    exact,
    promptTokens: 0,
    stop: turn.record.stop,
    usage: { cachedTokens: 0, evaluatedTokens: 0, promptMs: 0, predictedTokens: replyIds.length, predictedMs: 0 },
    fields: {},
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
    basedOnContext: record.parent,
    droppedTurns: record.contextStart - 1,
    waitedMs,
    retries,
    ...LOCAL,
  };
}

/** A reply as it was generated, whether it is stored or not. */
export function generatedReply(end: GenerationEnd, promptTokens: number): Reply {
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
