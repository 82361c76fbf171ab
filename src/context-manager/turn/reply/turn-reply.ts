import type { SessionKey } from '../../../domain/identifiers.ts';
import { retrievedOf } from '../../../domain/record/retrieved.ts';
import { summedTurns } from '../../../domain/record/summary.ts';
import type { StoredMode } from '../../../domain/record/turn-record.ts';
import { isEndedByWindow } from '../../../domain/record/window-end.ts';
import type { Turn } from '../../../domain/session/session-history.ts';
import { beginningAt } from '../../../domain/session/session-summaries.ts';
import { repairedBefore } from '../../../domain/session/turn-repair.ts';
import type { GenerationEnd } from '../../../llm-service/llm-service.ts';
import type { EnteredPass } from '../../arbitration/arbitration.ts';
import type { Prompt, StoredReply } from '../../modes/mode.ts';
import type { EvaluatedTurn, Reply, SummarizedTurns, TurnReply } from '../turn.ts';
import type { GatePass, OpenPass } from '../turn-gate.ts';
import { LOCAL } from '../write-concerns.ts';
import type { ReadReply } from './reply-reader.ts';

/** What came of a prompt. */
export interface Generated {
  readonly end: GenerationEnd;
  readonly read: ReadReply;
  readonly promptTokens: number;
  /** Most ids that the reply was allowed, whatever there was room for. */
  readonly maxTokens: number;
  readonly windowTokens: number;
}

/** The reply to a turn that was answered now. */
export function answeredReply(
  turn: Turn,
  generated: Generated,
  { prompt, hasWaited }: { readonly prompt: Prompt; readonly hasWaited: boolean },
  pass: EnteredPass,
): TurnReply {
  const { rewrittenTokens, layers, summary } = prompt;
  const told = {
    layers,
    summarized: summary && summarizedTurns(summary, hasWaited),
    rewrittenTokens,
    replayed: false,
    arbitrated: pass.held.isArbitrated,
  };
  return placed(turn, pass, generatedReply(generated), told);
}

/** A reply that was stored before, whole. */
export function replayedReply(turn: Turn, { reply, parts, replyIds, exact }: StoredReply, pass: GatePass): TurnReply {
  const stored: Reply = {
    text: reply,
    parts,
    replyIds,
    exact,
    promptTokens: 0,
    stop: turn.record.stop,
    windowIsFull: isEndedByWindow(turn.record),
    made: undefined,
    usage: { cachedTokens: 0, evaluatedTokens: 0, promptMs: 0, predictedTokens: replyIds.length, predictedMs: 0 },
    fields: {},
  };
  const { summary } = beginningAt(pass.session.history, turn);
  const summarized = summary && summarizedTurns({ ...summary, isNew: false }, false);
  return placed(turn, pass, stored, {
    summarized,
    rewrittenTokens: 0,
    layers: undefined,
    replayed: true,
    arbitrated: undefined,
  });
}

/** What is told of a turn that was evaluated and not taken. */
export function evaluatedTurn(
  { userId, sessionId }: SessionKey,
  { mode, prompt, hasWaited }: { readonly mode: StoredMode; readonly prompt: Prompt; readonly hasWaited: boolean },
  generated: Generated,
  { base, waitedMs, retries }: OpenPass,
): EvaluatedTurn {
  const { contextStart, summary } = prompt;
  const summarized = summary && summarizedTurns(summary, hasWaited);
  return {
    ...generatedReply(generated),
    ...(summarized && { summarized }),
    ...(prompt.retrieved && { retrievedTurns: prompt.retrieved.turns, retrievedBy: prompt.retrieved.by }),
    ...{ userId, sessionId, mode, waitedMs, retries },
    basedOnTurn: base?.record.turn ?? 0,
    basedOnContext: base?.hash,
    droppedTurns: contextStart - 1 - (summarized?.turns ?? 0),
    layers: prompt.layers,
  };
}

/** A reply with its place in the session. Written down in one piece: it is made for every turn. */
function placed(
  stored: Turn,
  { session, waitedMs, retries }: GatePass,
  reply: Reply,
  told: Pick<TurnReply, 'rewrittenTokens' | 'layers' | 'replayed' | 'arbitrated'> & {
    readonly summarized: SummarizedTurns | undefined;
  },
): TurnReply {
  const { record, hash } = stored;
  const retrieved = retrievedOf(record);
  return {
    stored,
    text: reply.text,
    parts: reply.parts,
    replyIds: reply.replyIds,
    exact: reply.exact,
    promptTokens: reply.promptTokens,
    stop: reply.stop,
    windowIsFull: reply.windowIsFull,
    usage: reply.usage,
    made: reply.made,
    fields: reply.fields,
    rewrittenTokens: told.rewrittenTokens,
    layers: told.layers,
    replayed: told.replayed,
    arbitrated: told.arbitrated,
    userId: record.userId,
    sessionId: record.sessionId,
    mode: answeredMode(stored),
    turn: record.turn,
    contextId: hash,
    basedOnTurn: record.turn - 1,
    basedOnContext: record.parent,
    droppedTurns: record.contextStart - 1 - (told.summarized?.turns ?? 0),
    ...(told.summarized && { summarized: told.summarized }),
    ...(retrieved && { retrievedTurns: retrieved.turns, retrievedBy: retrieved.by }),
    repairedTurns: repairedBefore(session.history, stored),
    waitedMs,
    retries,
    writeConcern: LOCAL.writeConcern,
    replicas: LOCAL.replicas,
  };
}

function summarizedTurns({ isNew, ...summary }: NonNullable<Prompt['summary']>, hasWaited: boolean): SummarizedTurns {
  const { payload } = summary;
  const tokens = payload.mode === 'tokenized' ? payload.replyIds.length : undefined;
  return { turns: summedTurns(summary), tokens, made: hasWaited ? 'now' : isNew ? 'ahead' : 'before' };
}

/** Of a turn that was answered: no other has a reply. */
export function answeredMode({ record }: Turn): StoredMode {
  const { mode } = record.payload;
  if (mode === 'items') throw new TypeError('messages that were added have no reply');
  return mode;
}

/** A reply as it was generated, whether it is stored or not. */
export function generatedReply({ end, read, promptTokens, maxTokens, windowTokens }: Generated): Reply {
  return {
    text: end.text,
    parts: read.parts,
    replyIds: end.ids,
    exact: end.exact,
    promptTokens,
    stop: end.stop,
    windowIsFull: end.stop.kind === 'limit' && promptTokens + end.usage.predictedTokens >= windowTokens,
    usage: end.usage,
    made: { maxTokens, slot: end.slot, settings: end.settings },
    fields: end.fields ?? {},
  };
}
