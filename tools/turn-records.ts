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
import { type ConversationDigest, conversationExtension } from '../src/domain/record/conversation-digest.ts';
import { erasureExtension, erasureKey, knowsErasure } from '../src/domain/record/erasure.ts';
import type { ContentPart, IdMark, MediaPart, ToolCallPart } from '../src/domain/record/message-content.ts';
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
  /** By what conversations it is found: the one that it answers, then those with its reply. */
  readonly conversations?: readonly [ConversationDigest, ...ConversationDigest[]];
}

export function turnRecord(options: TurnOptions = {}): TurnRecord {
  const before = options.parent?.record.kind === 'turn' ? options.parent.record.turn : 0;
  const turn = (options.turn ?? before + 1) as TurnNumber;
  const parent = turn === 1 ? undefined : (options.parent?.hash ?? ('ab'.repeat(16) as ContextId));
  const writtenAtMs = options.writtenAtMs ?? WRITTEN_AT_MS;
  const [asked, ...answered] = options.conversations ?? [];
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
    ...(asked !== undefined && { extensions: conversationExtension({ asked, answered }) }),
  };
}

/** The same turn with what version 2 of the record has room for: a picture, a tool call and a thought, and two extensions. */
export function structured({ record }: Pick<SealedRecord, 'record'>): TurnRecord {
  if (record.kind !== 'turn' || record.payload.mode !== 'tokenized') throw new TypeError('not a tokenized turn');
  const marks: IdMark[] = [
    { segment: 'prompt', start: 1, length: 2, part: { ...PICTURE } },
    { segment: 'reply', start: 0, length: 1, part: { type: 'thinking' } },
    { segment: 'reply', start: 1, length: 3, part: { ...TOOL_CALL } },
  ];
  return { ...record, extensions: EXTENSIONS, payload: { ...record.payload, marks } };
}

/** A raw turn whose messages and reply have parts of every kind. */
export function structuredRaw(options: TurnOptions = {}): TurnRecord {
  const answered: ContentPart = { type: 'tool-result', callId: 'call-1', isError: false, output: '21 °C' };
  return {
    ...turnRecord(options),
    extensions: EXTENSIONS,
    payload: {
      mode: 'raw',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'How warm is it here?' }, PICTURE] },
        { role: 'tool', content: [answered] },
      ],
      reply: [{ type: 'thinking', text: 'Ask.' }, TOOL_CALL],
    },
  };
}

const PICTURE: MediaPart = { type: 'image', digest: 'c0de'.repeat(16), mediaType: 'image/png', size: 70_000 };
const TOOL_CALL: ToolCallPart = { type: 'tool-call', callId: 'call-1', name: 'weather', arguments: '{"at":"here"}' };
const EXTENSIONS = new Map([
  ['acme.trace', Uint8Array.of(7, 0, 255)],
  ['acme.billing', new TextEncoder().encode('team blue')],
]);

export function sealedTurn(options: TurnOptions = {}): SealedRecord {
  return sealRecord(turnRecord(options));
}

/** A raw first turn whose message and reply are this text. */
export function sealedWords(key: SessionKey, text: string): SealedRecord {
  const messages = [{ role: 'user' as const, content: text }];
  return sealRecord({ ...turnRecord({ key }), payload: { mode: 'raw', messages, reply: text } });
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

/** The erasure of a user, as some node has written it. */
export function sealedErasure({ userId = 'user', stamp = 1, receiptId = 'ab'.repeat(16) } = {}): SealedRecord {
  const { record } = sealedTombstone({ key: erasureKey(userId as UserId), expiresAtMs: WRITTEN_AT_MS + 49 * HOUR_MS });
  return sealRecord({ ...record, extensions: erasureExtension({ stamp, receiptId }) });
}

/** The same record by a writer that has heard of an erasure of its user. */
export function knowing({ record }: SealedRecord, stamp: number): SealedRecord {
  return sealRecord({ ...record, extensions: new Map([...(record.extensions ?? []), ...knowsErasure(stamp)]) });
}
