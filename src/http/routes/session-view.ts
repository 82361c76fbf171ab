import type { TurnText } from '../../context-manager/modes/mode.ts';
import type { Fork } from '../../context-manager/sessions/forks.ts';
import type { ReadBranch, ReadSummary, ReadTurn, SessionView } from '../../context-manager/sessions/sessions.ts';
import type { SessionSummary } from '../../context-store/context-store.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { textOf } from '../../domain/record/message-content.ts';
import { movedFromOf } from '../../domain/record/moved-from.ts';
import { sealRecord } from '../../domain/record/record-codec.ts';
import { repairedOf } from '../../domain/record/repaired.ts';
import { retrievedOf } from '../../domain/record/retrieved.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { STOP_TYPES } from '../stop-types.ts';
import type { ExactTurnReply, SessionSummaryReply, StoredTurnReply } from './session-schemas.ts';

export function summaryView(summary: SessionSummary): SessionSummaryReply {
  return {
    session_id: summary.key.sessionId,
    user_id: summary.key.userId,
    mode: summary.mode,
    turns: summary.turns,
    bytes: summary.bytes,
    created_at: iso(summary.createdAtMs),
    updated_at: iso(summary.updatedAtMs),
    expires_at: iso(summary.expiresAtMs),
  };
}

/** A session with its main line, and the branches beside it from where they part. */
export function sessionView<TurnReply>(view: SessionView, viewTurn: (turn: ReadTurn) => TurnReply) {
  const [tip] = view.tips;
  return {
    session_id: view.key.sessionId,
    user_id: view.key.userId,
    ...(view.mode !== undefined && { mode: view.mode }),
    ...(tip !== undefined && { context_id: tip.hash }),
    expires_at: iso(view.expiresAtMs),
    corrupt_records: view.corruptRecords,
    turns: view.turns.map(viewTurn),
    branches: view.branches.map((branch) => branchView(branch, viewTurn)),
    ...(view.summaries.length > 0 && { summaries: view.summaries.map(summaryOfTurnsView) }),
  };
}

function summaryOfTurnsView({ stored: { hash, record }, turns, text }: ReadSummary) {
  return {
    ...{ turns, id: hash, node: record.origin, written_at: iso(record.writtenAtMs) },
    ...(text instanceof DiscedgeError ? { text_error: { code: text.code, message: text.message } } : { text }),
  };
}

function branchView<TurnReply>({ tip, partsFrom, turns }: ReadBranch, viewTurn: (turn: ReadTurn) => TurnReply) {
  return {
    ...placeView(tip),
    parts_after: partsFrom?.record.turn ?? 0,
    parts_from: partsFrom?.hash ?? null,
    turns: turns.map(viewTurn),
  };
}

export function turnView({ turn, text }: ReadTurn): StoredTurnReply {
  const { record } = turn;
  const { payload } = record;
  const lost = repairedOf(record);
  const moved = movedFromOf(record);
  const retrieved = retrievedOf(record);
  return {
    ...placeView(turn),
    parent: record.parent ?? null,
    ...(lost !== undefined && { repairs: lost }),
    ...(moved !== undefined && { moved_from: moved.contextId }),
    ...(text instanceof DiscedgeError ? { text_error: { code: text.code, message: text.message } } : textView(text)),
    stop_type: STOP_TYPES[record.stop.kind],
    context_start: record.contextStart,
    ...(retrieved && { retrieved_turns: [...retrieved.turns], retrieved_by: retrieved.by }),
    ...(payload.mode === 'tokenized' && {
      prompt_tokens: payload.promptIds.length,
      reply_tokens: payload.replyIds.length,
    }),
  };
}

function textView({ messages, reply }: TurnText) {
  const said = messages.map(({ role, content }) => ({ role, content: textOf(content) }));
  const system = said.find(({ role }) => role === 'system');
  return {
    ...(system !== undefined && { system: system.content }),
    user: said
      .filter(({ role }) => role === 'user')
      .map(({ content }) => content)
      .join('\n'),
    ...(said.some(({ role }) => role === 'assistant') && { messages: said }),
    reply,
  };
}

/** With the ids that the model read and wrote, and all else that a node needs to take it back. */
export function exactTurnView(read: ReadTurn): ExactTurnReply {
  return { ...idsTurnView(read), record: Buffer.from(sealRecord(read.turn.record).bytes).toString('base64') };
}

/** With the ids that the model read and wrote. */
export function idsTurnView(read: ReadTurn): Omit<ExactTurnReply, 'record'> {
  const { payload } = read.turn.record;
  const view = turnView(read);
  if (payload.mode !== 'tokenized') return view;
  const { promptIds, replyIds, exact } = payload;
  return { ...view, prompt_ids: [...promptIds], reply_ids: [...replyIds], exact_ids: exact };
}

export function forkView(fork: Fork, node: string) {
  return {
    session_id: fork.key.sessionId,
    user_id: fork.key.userId,
    mode: fork.mode,
    turn: fork.turn,
    context_id: fork.contextId,
    expires_at: iso(fork.expiresAtMs),
    node,
    replayed: fork.replayed,
    forked_from: {
      session_id: fork.source.sessionId,
      turn: fork.source.turn,
      context_id: fork.source.contextId,
    },
  };
}

function placeView({ hash, record }: Turn) {
  return { turn: record.turn, context_id: hash, node: record.origin, written_at: iso(record.writtenAtMs) };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
