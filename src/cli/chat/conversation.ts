import type { DiscedgeClient, Session } from '../../client/client.ts';

/** What a chat lets its slash commands do. */
export interface Conversation {
  /** The one that takes the next message. */
  readonly session: Session;
  /** Speaks to that node alone, as whom this chat speaks. Throws `invalid_use` for a malformed URL. */
  connectTo(url: string): DiscedgeClient;
  newSession(): void;
  /** Goes on with another session. */
  goTo(session: Session): void;
  quit(): void;
  /** Says something about the conversation, which is not part of it. */
  readonly note: (text: string) => void;
  warn(text: string): void;
}
