import { DiscedgeError } from '../domain/errors.ts';
import type { SessionKey } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import type { SessionRecord, StoredMode } from '../domain/record/turn-record.ts';
import { keepsUntilMs } from '../domain/record/unsure-time.ts';
import type { AppendOptions, SessionSummary } from './context-store.ts';
import { HELD, type Held } from './held-elsewhere.ts';

/** What a store knows of a session without opening its records. Follows from the records, whatever order they came in, but for its uses. */
export interface SessionRow {
  /** Held here, tombstones included. */
  readonly records: number;
  readonly bytes: number;
  /** Deepest turn held; 0 when deleted. */
  readonly turns: number;
  /** `undefined` when no turn that was answered was ever held. */
  readonly mode: StoredMode | undefined;
  readonly deleted: boolean;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** The latest any of its records names, or keeps it until where its times are unsure; a tombstone does not shorten it. */
  readonly expiresAtMs: number;
  readonly lastUsedAtMs: number;
  /** As it was last found when room was needed. */
  readonly heldElsewhere: Held;
}

/**
 * The row once `sealed`, which it does not hold yet, is taken in. A session's first tombstone stands for all its turns,
 * so their count and bytes go; a turn of a deleted session must have been refused before ({@link refuseLateTurn}).
 */
export function rowWith(row: SessionRow | undefined, sealed: SealedRecord, usedAtMs: number): SessionRow {
  const { record, bytes } = sealed;
  const held = record.kind === 'tombstone' && row?.deleted === false ? { records: 0, bytes: 0 } : row;
  return {
    records: (held?.records ?? 0) + 1,
    bytes: (held?.bytes ?? 0) + bytes.length,
    turns: record.kind === 'turn' ? Math.max(row?.turns ?? 0, record.turn) : 0,
    mode: row?.mode ?? answeredMode(record),
    deleted: record.kind === 'tombstone',
    createdAtMs: Math.min(row?.createdAtMs ?? record.writtenAtMs, record.writtenAtMs),
    updatedAtMs: Math.max(row?.updatedAtMs ?? 0, record.writtenAtMs),
    expiresAtMs: Math.max(row?.expiresAtMs ?? 0, keepsUntilMs(record, usedAtMs)),
    lastUsedAtMs: Math.max(row?.lastUsedAtMs ?? 0, usedAtMs),
    heldElsewhere: HELD.byItsWriter,
  };
}

function answeredMode(record: SessionRecord): StoredMode | undefined {
  if (record.kind !== 'turn' || record.payload.mode === 'items') return undefined;
  return record.payload.mode;
}

/** A turn whose session has been removed would be stored and never served. */
export function refuseOrphan(row: SessionRow | undefined, options: AppendOptions | undefined): void {
  if (row !== undefined || options?.continues !== true) return;
  throw new DiscedgeError(
    'session_not_found',
    'the session was evicted or expired while this turn was being answered',
    {
      param: 'session_id',
    },
  );
}

/** Deletion is final: throws `session_deleted` when the session is deleted and `sealed` is a turn. */
export function refuseLateTurn(row: SessionRow | undefined, sealed: SealedRecord): void {
  if (row?.deleted !== true || sealed.record.kind !== 'turn') return;
  throw new DiscedgeError('session_deleted', 'the session was deleted; open a new one under another id');
}

/** A session lives until the time its row names, and not in that millisecond. */
export function isExpired(row: SessionRow, nowMs: number): boolean {
  return row.expiresAtMs <= nowMs;
}

/** Neither deleted nor expired. */
export function isThere(row: SessionRow, nowMs: number): boolean {
  return !row.deleted && !isExpired(row, nowMs);
}

/** `undefined` for what a list does not show: deleted and expired sessions, and those in which nothing was answered. */
export function summaryOf(key: SessionKey, row: SessionRow, nowMs: number): SessionSummary | undefined {
  if (row.mode === undefined || !isThere(row, nowMs)) return undefined;
  const { turns, mode, bytes, createdAtMs, updatedAtMs, expiresAtMs } = row;
  return { key, turns, mode, bytes, createdAtMs, updatedAtMs, expiresAtMs };
}
