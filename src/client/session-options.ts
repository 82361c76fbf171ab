import type { DiscedgeClientError } from './errors.ts';
import type { TurnOptions } from './turn/turn-request.ts';

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

/** Turns that were acknowledged, and that no node has which could be asked. */
export interface LostTurns {
  /** How many of the last ones can be handed over. */
  readonly turns: number;
  /** URL of the node that lacks them, and would store them again. */
  readonly node: string;
  /** What the last of all attempts came to. */
  readonly error: DiscedgeClientError;
}

export interface SessionOptions extends Partial<SessionState> {
  /** Context mode; the node's default when left out. */
  readonly mode?: 'tokenized' | 'raw' | undefined;
  /** System message of a new session. */
  readonly system?: string | undefined;
  /** For every turn, unless the turn says otherwise. */
  readonly turnOptions?: TurnOptions | undefined;
  /**
   * What to do when every node that can be reached refuses a turn because those before it are lost, as when the one that
   * answered them died: hand them over in words, to be stored again (`auto`), or as whoever is asked decides. They are
   * kept in memory, and in what `serialize` gives, for that: the last 8, of 65,536 characters. Left out, nothing is kept, and the turn fails.
   */
  readonly repair?: 'auto' | ((lost: LostTurns) => boolean | Promise<boolean>) | undefined;
}

export interface SendOptions extends TurnOptions {
  /** Aborting cancels the turn. */
  readonly signal?: AbortSignal | undefined;
}

/** What a node says to a session that comes. */
export interface Coming {
  /** The last turn that is there; 0 where none has arrived. */
  readonly turn: number;
  /** Whether the node evaluates what is there before it is asked to, if it is idle. */
  readonly warms: boolean;
}

export interface RefreshOptions {
  /** Take over the node's main line even where it lacks turns that were acknowledged to this session. */
  readonly mayGoBack?: boolean | undefined;
}

export interface Refreshed {
  /** Whether turns that were acknowledged to this session are no longer part of what it goes on from. */
  readonly wentBack: boolean;
}
