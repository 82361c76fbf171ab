import type { ContextId, KeygroupId, SessionId, TurnNumber, UserId } from '../domain/identifiers.ts';
import type { ConversationDigest } from '../domain/record/conversation-digest.ts';

/**
 * Finds records by the conversations that they carry ({@link conversationsOf}): what a client says names a place in a session.
 * An entry comes and goes with its record, at once.
 */
export interface ConversationIndex {
  /**
   * The turns of a user in which that conversation was had, newest first, so that all nodes that hold them say the same; at
   * most {@link CONVERSATIONS_FOUND_MAX}. Fails as `read` does.
   */
  find(wanted: WantedConversation): Promise<readonly ConversationPlace[]>;
}

export interface WantedConversation {
  readonly keygroup: KeygroupId;
  readonly userId: UserId;
  readonly digest: ConversationDigest;
}

/** A turn, and the session that it is in. */
export interface ConversationPlace {
  readonly sessionId: SessionId;
  readonly turn: TurnNumber;
  readonly contextId: ContextId;
}

/** Equal conversations that are worth choosing among: clients of one user that say the same at the same time. */
export const CONVERSATIONS_FOUND_MAX = 32;
