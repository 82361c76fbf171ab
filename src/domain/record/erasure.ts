import { DOCUMENTS_KEYGROUP, ownerOf } from '../cluster/documents.ts';
import { isId, type SessionId, type SessionKey, type UserId } from '../identifiers.ts';
import { type Extensions, withoutExtension } from './extensions.ts';
import type { SessionRecord } from './turn-record.ts';

/**
 * The erasure of a user: a tombstone among the documents, so that it comes to every node, whatever models that serves, and is
 * not evicted. Which records it is of does not hang on anybody's clock: those whose writer had not heard of it.
 */
export interface Erasure {
  readonly userId: UserId;
  /** Orders the erasures of one user. A time, but later than any that its writer knew of. */
  readonly stamp: number;
  readonly receiptId: string;
}

/** Under it, each erased user has a session of its own. */
export const ERASURES = 'user-erasure' as UserId;
const ERASURE = 'discedge.erasure';
/** On a record of a user who was erased before: the latest erasure that its writer had heard of. */
const ERASED_BEFORE = 'discedge.erased-before';
const NEVER = 0;

export function erasureKey(userId: UserId): SessionKey {
  return { keygroup: DOCUMENTS_KEYGROUP, userId: ERASURES, sessionId: userId as string as SessionId };
}

export function erasureExtension({ stamp, receiptId }: Omit<Erasure, 'userId'>): Extensions {
  return new Map([[ERASURE, Buffer.from(`${stamp} ${receiptId}`)]]);
}

/** What erasure a record is; `undefined` for one that is none. */
export function erasureOf(record: SessionRecord): Erasure | undefined {
  if (record.kind !== 'tombstone' || record.keygroup !== DOCUMENTS_KEYGROUP || record.userId !== ERASURES)
    return undefined;
  const [, digits, receiptId] = /^(\d{1,16}) ([0-9a-f]{32})$/.exec(textOf(record, ERASURE)) ?? [];
  const stamp = Number(digits);
  if (receiptId === undefined || !Number.isSafeInteger(stamp) || !isId(record.sessionId)) return undefined;
  return { userId: record.sessionId as string as UserId, stamp, receiptId };
}

/** What a record carries whose writer knows of an erasure of its user; nothing where there was none. */
export function knowsErasure(stamp: number): Extensions {
  return stamp === NEVER ? new Map() : new Map([[ERASED_BEFORE, Buffer.from(String(stamp))]]);
}

/** The same extensions but for what their writer knew of erasures. */
export function withoutErasure(extensions: Extensions): Extensions {
  return withoutExtension(extensions, ERASED_BEFORE);
}

/** The latest erasure that the record's writer had heard of; 0 for none. */
export function erasedBefore(record: SessionRecord): number {
  if (record.extensions?.has(ERASED_BEFORE) !== true) return NEVER;
  const stamp = Number(textOf(record, ERASED_BEFORE));
  return Number.isSafeInteger(stamp) ? stamp : NEVER;
}

/** Whether the erasure is of this record. */
export function isErasedBy(record: SessionRecord, { userId, stamp }: Pick<Erasure, 'userId' | 'stamp'>): boolean {
  return ownerOf(record) === userId && erasedBefore(record) < stamp;
}

function textOf({ extensions }: SessionRecord, name: string): string {
  return Buffer.from(extensions?.get(name) ?? []).toString('latin1');
}
