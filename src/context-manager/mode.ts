import type { OverflowPolicy } from '../domain/context-window.ts';
import type { TurnNumber } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record-codec.ts';
import type { Turn } from '../domain/session-history.ts';
import type { TokenSequence } from '../domain/token-sequence.ts';
import type { ContextMode, Message, RawPayload, TokenizedPayload } from '../domain/turn-record.ts';
import type { GenerationEnd } from '../llm-service/llm-service.ts';
import type { CachedSession } from './session-cache.ts';
import type { TurnRequest } from './turn.ts';

/**
 * A context mode (paper §3.3): how a prompt is built, what of a turn is stored, and how a stored turn is read. The flow
 * of a turn is the same for all of them.
 */
export interface Mode {
  readonly name: ContextMode;
  build(input: BuildInput): Promise<Prompt>;
  /** The stored turn as people read it. */
  read(turn: Turn): Promise<TurnText>;
}

export interface BuildInput {
  readonly request: TurnRequest;
  /** `undefined` where the mode stores nothing. */
  readonly session: CachedSession | undefined;
  /** The turn to go on from; `undefined` for turn 1. */
  readonly base: Turn | undefined;
  readonly overflow: OverflowPolicy;
  /** Ids to keep free for the reply. */
  readonly replyTokens: number;
}

export interface Prompt {
  readonly ids: TokenSequence;
  /** The first turn the prompt contains. */
  readonly contextStart: TurnNumber;
  /** What the record of this turn keeps; `undefined` where nothing is kept. */
  store(reply: GenerationEnd): Promise<TokenizedPayload | RawPayload | undefined>;
  /** The record is durable. */
  kept(sealed: SealedRecord): void;
  /** Nothing was stored: leave no trace of the prompt. */
  discarded(): void;
}

export interface TurnText {
  readonly messages: readonly Message[];
  readonly reply: string;
  /** Empty where the mode keeps no ids. */
  readonly replyIds: TokenSequence;
  readonly exact: boolean;
}
