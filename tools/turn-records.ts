import type {
  ContextId,
  Incarnation,
  KeygroupId,
  NodeId,
  RequestDigest,
  SessionId,
  SessionKey,
  TurnNumber,
  UserId,
} from '../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../src/domain/record/record-codec.ts';
import type { TombstoneRecord, TurnRecord } from '../src/domain/record/turn-record.ts';
import type { TokenId } from '../src/domain/token-sequence.ts';

export const KEYGROUP = '00112233445566aa' as KeygroupId;
/** 2026-01-01T00:00:00Z, where the virtual clock starts. */
export const WRITTEN_AT_MS = 1_767_225_600_000;
export const HOUR_MS = 3_600_000;

export function sessionKey(sessionId = 'session', userId = 'user', keygroup: string = KEYGROUP): SessionKey {
  return { keygroup: keygroup as KeygroupId, userId: userId as UserId, sessionId: sessionId as SessionId };
}

export interface TurnOptions {
  readonly key?: SessionKey;
  readonly parent?: SealedRecord | undefined;
  /** One after the parent's by default. */
  readonly turn?: number;
  /** Makes otherwise equal turns different. */
  readonly variant?: number;
  /** Ids in the reply: how large the record is. */
  readonly replyTokens?: number;
  readonly writtenAtMs?: number;
  readonly expiresAtMs?: number;
}

export function turnRecord(options: TurnOptions = {}): TurnRecord {
  const before = options.parent?.record.kind === 'turn' ? options.parent.record.turn : 0;
  const turn = (options.turn ?? before + 1) as TurnNumber;
  const parent = turn === 1 ? undefined : (options.parent?.hash ?? ('ab'.repeat(16) as ContextId));
  const writtenAtMs = options.writtenAtMs ?? WRITTEN_AT_MS;
  return {
    kind: 'turn',
    ...(options.key ?? sessionKey()),
    origin: 'node-1' as NodeId,
    incarnation: '0badcafe' as Incarnation,
    writtenAtMs,
    expiresAtMs: options.expiresAtMs ?? writtenAtMs + 24 * HOUR_MS,
    turn,
    parent,
    requestDigest: (options.variant ?? 0).toString(16).padStart(16, '0') as RequestDigest,
    contextStart: 1 as TurnNumber,
    stop: { kind: 'end' },
    sampling: { temperature: 0, seed: undefined, maxTokens: 64 },
    payload: {
      mode: 'tokenized',
      promptIds: [1, 2, 3, turn] as TokenId[],
      replyIds: Array.from({ length: options.replyTokens ?? 4 }, (_, i) => (i * 7 + turn) as TokenId),
      exact: true,
      leadLength: 1,
      spans: [{ role: 'user', start: 1, length: 2 }],
      replyText: undefined,
    },
  };
}

export function sealedTurn(options: TurnOptions = {}): SealedRecord {
  return sealRecord(turnRecord(options));
}

/** Turns 1 … `length` of one session, each the parent of the next. */
export function sealedLine(length: number, options: Omit<TurnOptions, 'parent' | 'turn'> = {}): SealedRecord[] {
  const line: SealedRecord[] = [];
  for (let i = 0; i < length; i++) line.push(sealedTurn({ ...options, parent: line.at(-1) }));
  return line;
}

export function sealedTombstone(
  options: { key?: SessionKey; writtenAtMs?: number; expiresAtMs?: number } = {},
): SealedRecord {
  const writtenAtMs = options.writtenAtMs ?? WRITTEN_AT_MS;
  const record: TombstoneRecord = {
    kind: 'tombstone',
    ...(options.key ?? sessionKey()),
    origin: 'node-1' as NodeId,
    incarnation: '0badcafe' as Incarnation,
    writtenAtMs,
    expiresAtMs: options.expiresAtMs ?? writtenAtMs + 25 * HOUR_MS,
  };
  return sealRecord(record);
}
