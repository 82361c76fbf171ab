import type { Fork } from '../context-manager/sessions/forks.ts';
import type { ReadBranch, ReadTurn, SessionView } from '../context-manager/sessions/sessions.ts';
import type { SessionSummary } from '../context-store/context-store.ts';
import { textOf } from '../domain/record/message-content.ts';
import type { Turn } from '../domain/session-history.ts';
import { STOP_TYPES } from './stop-types.ts';

export function summaryView(summary: SessionSummary) {
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
export function sessionView(view: SessionView, viewTurn: (turn: ReadTurn) => object) {
  return {
    session_id: view.key.sessionId,
    user_id: view.key.userId,
    mode: view.mode,
    context_id: view.tips[0]?.hash,
    expires_at: iso(view.expiresAtMs),
    corrupt_records: view.corruptRecords,
    turns: view.turns.map(viewTurn),
    branches: view.branches.map((branch) => branchView(branch, viewTurn)),
  };
}

function branchView({ tip, partsFrom, turns }: ReadBranch, viewTurn: (turn: ReadTurn) => object) {
  return {
    ...placeView(tip),
    parts_after: partsFrom?.record.turn ?? 0,
    parts_from: partsFrom?.hash ?? null,
    turns: turns.map(viewTurn),
  };
}

export function turnView({ turn, messages, reply }: ReadTurn) {
  const { record } = turn;
  const { payload } = record;
  return {
    ...placeView(turn),
    parent: record.parent ?? null,
    system: messages.filter(({ role }) => role === 'system').map(({ content }) => textOf(content))[0],
    user: messages
      .filter(({ role }) => role === 'user')
      .map(({ content }) => textOf(content))
      .join('\n'),
    /** All of them, where the turn began with a conversation that was had elsewhere. */
    messages: messages.some(({ role }) => role === 'assistant')
      ? messages.map(({ role, content }) => ({ role, content: textOf(content) }))
      : undefined,
    reply,
    stop_type: STOP_TYPES[record.stop.kind],
    context_start: record.contextStart,
    prompt_tokens: payload.mode === 'tokenized' ? payload.promptIds.length : undefined,
    reply_tokens: payload.mode === 'tokenized' ? payload.replyIds.length : undefined,
  };
}

/** With the ids that the model read and wrote. */
export function exactTurnView(read: ReadTurn) {
  const { payload } = read.turn.record;
  if (payload.mode === 'raw') return turnView(read);
  const { promptIds, replyIds, exact } = payload;
  return { ...turnView(read), prompt_ids: promptIds, reply_ids: replyIds, exact_ids: exact };
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
