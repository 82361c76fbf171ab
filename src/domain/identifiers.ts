import { DiscedgeError } from './errors.ts';

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A principal's name, as the authenticator gives it. */
export type UserId = Brand<string, 'UserId'>;
/** One conversation of one user; unique within that user. */
export type SessionId = Brand<string, 'SessionId'>;
/** Depth of a turn in its session: the first is 1, and a turn's parent always has the number before it. */
export type TurnNumber = Brand<number, 'TurnNumber'>;
/** Greatest turn number: 32 bits in a record. */
export const TURN_MAX = 0xffff_ffff;
/** 32 lower-case hex digits: hash of a turn record, and so the name of one exact history. */
export type ContextId = Brand<string, 'ContextId'>;
/** 16 lower-case hex digits that name one model identity (name, tokenizer, template). */
export type KeygroupId = Brand<string, 'KeygroupId'>;
/** 16 lower-case hex digits over everything in a request that decides its reply. */
export type RequestDigest = Brand<string, 'RequestDigest'>;
/** An operator's name for one edge node. */
export type NodeId = Brand<string, 'NodeId'>;
/** An operator's name for the nodes that replicate with each other. */
export type ClusterName = Brand<string, 'ClusterName'>;
/** 8 lower-case hex digits, new whenever a node's disk is new. */
export type Incarnation = Brand<string, 'Incarnation'>;

/** Where a session lives. The user is part of the key, so another user's session cannot even be named. */
export interface SessionKey {
  readonly keygroup: KeygroupId;
  readonly userId: UserId;
  readonly sessionId: SessionId;
}

/** A {@link SessionKey} as one string, for maps and affinity hints. */
export type SessionKeyText = Brand<string, 'SessionKeyText'>;

/** The separator cannot occur in any of the parts. */
export function sessionKeyText(key: SessionKey): SessionKeyText {
  return `${key.keygroup}\n${key.userId}\n${key.sessionId}` as SessionKeyText;
}

/** What the {@link sessionKeyText} of all of a user's sessions contains, and of nobody else's. */
export function userPartOf(userId: UserId): string {
  return `\n${userId}\n`;
}

/** What {@link sessionKeyText} made a text of. Throws for any other. */
export function parseSessionKeyText(text: string): SessionKey {
  const [keygroup, userId, sessionId, ...more] = text.split('\n');
  if (keygroup === undefined || userId === undefined || sessionId === undefined || more.length > 0)
    throw new TypeError('not the text of a session key');
  return { keygroup: keygroup as KeygroupId, userId: userId as UserId, sessionId: sessionId as SessionId };
}

/** Longest user, session and node id, in UTF-8 bytes: keeps store keys short. */
export const ID_BYTES_MAX = 128;

/** What {@link isId} asks, but for the bytes and for whole characters; a regular expression with the flag `u`. */
export const ID_PATTERN = '^(?!\\.{1,2}$)[^\\u0000-\\u001f\\u007f]+$';
/** What {@link isId} asks, after the name of the field. */
export const ID_RULE = `must be 1 to ${ID_BYTES_MAX} bytes of UTF-8 without control characters, and not "." or ".."`;

export const ANONYMOUS = 'anonymous' as UserId;

export function parseNodeId(text: unknown): NodeId {
  if (typeof text !== 'string' || !isNodeId(text)) {
    throw new DiscedgeError(
      'config_invalid',
      'node id must be 1 to 32 letters, digits, "-" or "_", starting with a letter or digit',
    );
  }
  return text as NodeId;
}

/** What holds for node ids holds for it: both become part of user names, and the node id of stream names. */
export function parseClusterName(text: unknown): ClusterName {
  if (typeof text !== 'string' || !isNodeId(text)) {
    throw new DiscedgeError(
      'config_invalid',
      'cluster name must be 1 to 32 letters, digits, "-" or "_", starting with a letter or digit',
    );
  }
  return text as ClusterName;
}

/** What every user and session id is, whoever wrote it: stores make keys of them, and URLs end in them. */
export function isId(text: string): boolean {
  return (
    text.length > 0 &&
    text.isWellFormed() &&
    text !== '.' &&
    text !== '..' &&
    !/[\u0000-\u001f\u007f]/.test(text) &&
    Buffer.byteLength(text) <= ID_BYTES_MAX
  );
}

export function isNodeId(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(text);
}
