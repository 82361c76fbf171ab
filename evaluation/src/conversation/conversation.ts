import type { Fetch } from 'discedge/client';

/** One message on its way. */
export interface Outgoing {
  readonly message: string;
  /** URL of the node it goes to. */
  readonly url: string;
  /** Called when the first text of the reply is there; never for replies in one piece. */
  readonly onFirstText: () => void;
  readonly signal: AbortSignal | undefined;
}

export interface Answered {
  /** The whole reply. */
  readonly text: string;
  /** The node's answer, or its last event: llama.cpp's fields and DisCEdge's. */
  readonly wire: Readonly<Record<string, unknown>>;
  /** What was sent as `prompt`. */
  readonly promptChars: number;
  /** Attempts after the first. */
  readonly clientRetries: number;
}

/** A user's side of one session, whoever keeps its context. Turns are sent one after the other. */
export interface Conversation {
  /** Throws DiscedgeClientError, or the signal's reason. */
  send(outgoing: Outgoing): Promise<Answered>;
}

/** What all turns of a conversation have in common. */
export interface ConversationOptions {
  readonly fetch: Fetch;
  readonly userId: string;
  readonly system: string | undefined;
  readonly seed: number;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly clientRetries: number;
  readonly stream: boolean;
}
