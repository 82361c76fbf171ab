import type { TurnOptions } from './turn-request.ts';

/** What is needed to go on with a session later, elsewhere; JSON. */
export interface SessionState {
  readonly sessionId: string;
  /** Turns acknowledged so far. */
  readonly turn: number;
  /** Of the last acknowledged turn. */
  readonly contextId?: string | undefined;
  /** URL of the node the session is with. */
  readonly node?: string | undefined;
  /** Which of a node's models it is with; the default one when left out. */
  readonly model?: string | undefined;
}

export interface SessionOptions extends Partial<SessionState> {
  /** Context mode; the node's default when left out. */
  readonly mode?: 'tokenized' | 'raw' | undefined;
  /** System message of a new session. */
  readonly system?: string | undefined;
  /** For every turn, unless the turn says otherwise. */
  readonly turnOptions?: TurnOptions | undefined;
}

export interface SendOptions extends TurnOptions {
  /** Aborting cancels the turn. */
  readonly signal?: AbortSignal | undefined;
}

export interface RefreshOptions {
  /** Take over the node's main line even where it lacks turns that were acknowledged to this session. */
  readonly mayGoBack?: boolean | undefined;
}

export interface Refreshed {
  /** Whether turns that were acknowledged to this session are no longer part of what it goes on from. */
  readonly wentBack: boolean;
}
