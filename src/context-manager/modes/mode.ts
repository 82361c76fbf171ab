import type { TurnNumber } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { ContextMode, Message, RawPayload, TokenizedPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { GenerationEnd } from '../../llm-service/llm-service.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { TurnRequest } from '../turn/turn.ts';

/**
 * How a session's context is kept (paper §3.3): how a prompt is built, what of a turn is stored ({@link Prompt.payload}),
 * and how a stored turn is read. The flow of a turn is the same for all modes.
 */
export interface Mode {
  readonly name: ContextMode;
  /** Throws `context_overflow`, and what the chat template throws. */
  build(input: BuildInput): Promise<Prompt>;
  /** The stored turn as people read it. */
  read(turn: Turn): Promise<TurnText>;
  /** Its reply alone, which is all that a replay needs. */
  readReply(turn: Turn): Promise<StoredReply>;
}

export interface BuildInput {
  readonly request: TurnRequest;
  /** `undefined` where the mode keeps nothing. */
  readonly place: Place | undefined;
  /** Ids to keep free for the reply. */
  readonly replyTokens: number;
}

/** Where in its session a turn goes on. */
export interface Place {
  readonly session: CachedSession;
  /** The turn to go on from; `undefined` for turn 1. */
  readonly base: Turn | undefined;
}

export interface Prompt {
  /** Unchanged until {@link kept} is called. */
  readonly ids: TokenSequence;
  /** The first turn the prompt contains. */
  readonly contextStart: TurnNumber;
  /** What the record of this turn keeps; `undefined` where the mode keeps nothing. */
  payload(reply: GenerationEnd): Promise<TokenizedPayload | RawPayload | undefined>;
  /** The record is durable. A prompt of which this is never called leaves no trace. */
  kept(sealed: SealedRecord): void;
}

export interface TurnText extends StoredReply {
  readonly messages: readonly Message[];
}

export interface StoredReply {
  readonly reply: string;
  /** Empty where the mode keeps no ids. */
  readonly replyIds: TokenSequence;
  readonly exact: boolean;
}

/** The place of a turn whose mode keeps its context. Its absence is a defect of the caller. */
export function placeOf({ place }: BuildInput): Place {
  if (place === undefined) throw new TypeError('a mode that keeps contexts needs a session');
  return place;
}
