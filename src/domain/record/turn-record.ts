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
} from '../identifiers.ts';
import type { TokenSequence } from '../token-sequence.ts';
import type { Extensions } from './extensions.ts';
import type { IdMark, MessageContent } from './message-content.ts';
import type { KeptPreamble } from './preamble.ts';

/** How a session's context is kept. `client-side` sessions have no records. */
export type ContextMode = 'raw' | 'tokenized' | 'client-side';
export const CONTEXT_MODES = ['raw', 'tokenized', 'client-side'] as const;
export type StoredMode = Exclude<ContextMode, 'client-side'>;

export type Role = 'system' | 'user' | 'assistant' | 'tool' | 'developer';
export interface Message {
  readonly role: Role;
  readonly content: MessageContent;
}

/** A message that is nothing but text. */
export interface TextMessage extends Message {
  readonly content: string;
}

/** Why a reply ended. A stop word's ids are part of the reply's ids though its text is hidden from the client. */
export type StopReason =
  | { readonly kind: 'end' }
  | { readonly kind: 'limit' }
  | { readonly kind: 'word'; readonly word: string };

/** Which ids of a prompt segment are the text of one message; the rest is template. */
export interface MessageSpan {
  readonly role: Role;
  readonly start: number;
  readonly length: number;
}

export interface TokenizedPayload {
  readonly mode: 'tokenized';
  /** This turn's segment of the prompt only; the context before it is the parent's. */
  readonly promptIds: TokenSequence;
  /** The exact ids the model wrote, with the end token if it wrote one. */
  readonly replyIds: TokenSequence;
  /** False when an LLM Service lost ids in a stream and the reply was tokenized again from its text. */
  readonly exact: boolean;
  /**
   * Leading prompt ids that do not belong to this turn: in turn 1 the preamble (BOS, system message), which survives
   * `drop-oldest`; later the end of the previous reply, which goes when that reply goes.
   */
  readonly leadLength: number;
  readonly spans: readonly MessageSpan[];
  /** Only where the shown reply is not what the ids detokenize to. */
  readonly replyText: string | undefined;
  /** What ids stand for, where they do not say it themselves; absent where there is nothing of the kind. */
  readonly marks?: readonly IdMark[];
}

/** Messages that were added without a generation. The next turn that is answered takes them in, before its own. */
export interface ItemsPayload {
  readonly mode: 'items';
  /** None where something is noted in its place, by its extensions. */
  readonly messages: readonly Message[];
}

export interface RawPayload {
  readonly mode: 'raw';
  readonly messages: readonly Message[];
  readonly reply: MessageContent;
}

/** The few sampling parameters worth keeping with a turn; `undefined` means the service's default. */
export interface SamplingSummary {
  readonly temperature: number | undefined;
  readonly seed: number | undefined;
  readonly maxTokens: number | undefined;
}

interface RecordHeader {
  readonly keygroup: KeygroupId;
  readonly userId: UserId;
  readonly sessionId: SessionId;
  readonly origin: NodeId;
  readonly incarnation: Incarnation;
  readonly writtenAtMs: number;
  /** Absolute; the session lives until the latest time any of its records names. */
  readonly expiresAtMs: number;
  /** Absent where there are none. */
  readonly extensions?: Extensions;
}

/**
 * One user message and one reply, immutable once sealed: what is stored and replicated (DESIGN §5). Messages that are added
 * without a reply have a place in their session too.
 */
export interface TurnRecord extends RecordHeader {
  readonly kind: 'turn';
  readonly turn: TurnNumber;
  /** The record of turn − 1; `undefined` exactly for turn 1. */
  readonly parent: ContextId | undefined;
  readonly requestDigest: RequestDigest;
  /** The first turn that was part of the prompt; above 1 once `drop-oldest` has dropped some. */
  readonly contextStart: TurnNumber;
  readonly stop: StopReason;
  readonly sampling: SamplingSummary;
  /** What stood before the conversation in its prompt; absent where it is what stood there in the turn before, or nothing in turn 1. */
  readonly preamble?: KeptPreamble;
  readonly payload: TokenizedPayload | RawPayload | ItemsPayload;
}

/** A turn that was answered. */
export interface AnsweredRecord extends TurnRecord {
  readonly payload: TokenizedPayload | RawPayload;
}

/** Deletes a session for good: it outlives every record that may still be under way. */
export interface TombstoneRecord extends RecordHeader {
  readonly kind: 'tombstone';
}

export type SessionRecord = TurnRecord | TombstoneRecord;

export function sessionKeyOf(record: SessionRecord): SessionKey {
  return { keygroup: record.keygroup, userId: record.userId, sessionId: record.sessionId };
}
