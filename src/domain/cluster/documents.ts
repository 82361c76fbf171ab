import type { KeygroupId, SessionKey, UserId } from '../identifiers.ts';

/** Of what all nodes of a cluster have to know: every node serves it, whatever its models are. */
export const DOCUMENTS_KEYGROUP = 'd0c5d0c5d0c5d0c5' as KeygroupId;

/** Whose API keys are, as documents: with one of a service its maker reads through any node what that serves. */
export const API_KEYS_OWNER = 'api-key' as UserId;

/** Kinds of documents of which each is about one user, and has that user's id. */
export const KINDS_ABOUT_USERS: readonly string[] = ['user-preferences', 'user-lifetime'];

/** What all nodes have to know is never evicted, and is taken however full a store is. */
export function isDocument({ keygroup }: Pick<SessionKey, 'keygroup'>): boolean {
  return keygroup === DOCUMENTS_KEYGROUP;
}

/** Whose a session is, or the document that is kept as one; `undefined` for a document that is about no user. */
export function ownerOf({ keygroup, userId, sessionId }: SessionKey): UserId | undefined {
  if (keygroup !== DOCUMENTS_KEYGROUP) return userId;
  return KINDS_ABOUT_USERS.includes(userId) ? (sessionId as string as UserId) : undefined;
}
