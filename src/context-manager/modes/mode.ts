import type { TurnNumber } from '../../domain/identifiers.ts';
import type { ContentPart } from '../../domain/record/message-content.ts';
import type { Preamble, ToolDefinition } from '../../domain/record/preamble.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Retrieved } from '../../domain/record/retrieved.ts';
import type { Summary } from '../../domain/record/summary.ts';
import type { Message, StoredMode, TurnRecord } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { GenerationEnd } from '../../llm-service/llm-service.ts';
import type { Layer } from '../layers/layer.ts';
import type { ToldLayers } from '../layers/told-layers.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { ReadReply } from '../turn/reply/reply-reader.ts';
import type { TurnRequest } from '../turn/turn.ts';
import type { Beginning } from './context-beginning.ts';

/**
 * How a session's context is kept (paper §3.3): how a prompt is built, what of a turn is stored ({@link Prompt.record}),
 * and how a stored turn is read. The flow of a turn is the same for both modes; `client-side` keeps nothing and has its own.
 */
export interface Mode {
  readonly name: StoredMode;
  /** Throws `context_overflow`, and what the chat template throws. */
  build(input: BuildInput): Promise<Prompt>;
  /** The stored turn as people read it. Throws what `detokenize` throws. */
  read(turn: Turn): Promise<TurnText>;
  /**
   * Its reply alone, which is all that a replay needs; where its ids are not kept, those that its text has now,
   * and none while the LLM Service cannot tell.
   */
  readReply(turn: Turn): Promise<StoredReply>;
}

export interface BuildInput {
  readonly request: TurnRequest;
  readonly session: CachedSession;
  /** The turn to go on from; `undefined` for turn 1. */
  readonly base: Turn | undefined;
  /** Ids to keep free for the reply. */
  readonly replyTokens: number;
  /** How the context begins; absent: as it did for the turn to go on from. */
  readonly beginning?: Beginning;
  /** What stands first in the system message, at this node and now. */
  readonly layers: readonly Layer[];
}

export interface Prompt {
  /** Unchanged until {@link kept} or {@link evaluated} is called. */
  readonly ids: TokenSequence;
  /** The first turn the prompt contains. */
  readonly contextStart: TurnNumber;
  /** What stands in it for turns before that, and whether this prompt is the first to begin so; absent: nothing does. */
  readonly summary?: Summary & { readonly isNew: boolean };
  /** Turns that it leaves out and of which it brings back what was said, ascending; absent: none. */
  readonly retrieved?: Pick<Retrieved, 'turns' | 'by'>;
  /** Ids at the end of the context before, prompt or reply, that the template has otherwise now: evaluated again. */
  readonly rewrittenTokens: number;
  /** `undefined` where there are no layers, and were none in the turn before. */
  readonly layers: ToldLayers | undefined;
  /** What the record of this turn keeps, without a reply. */
  readonly draft: Kept;
  /** What the model is told that it may call. */
  readonly tools: readonly ToolDefinition[];
  /** The same with its reply. */
  record(reply: GenerationEnd, read: ReadReply): Promise<Kept>;
  /** The record is durable. A prompt of which neither this nor {@link evaluated} is called leaves no trace. */
  kept(sealed: SealedRecord): void;
  /** It is in the KV cache and no turn is taken: what was folded for it serves the turn to come. */
  evaluated(): void;
}

/** What a mode keeps of a turn, beside what every record has. */
export type Kept = Pick<TurnRecord, 'payload' | 'extensions' | 'preamble'>;

export interface TurnText extends StoredReply {
  readonly messages: readonly Message[];
  /** What stood before the conversation in its prompt, where that is not what stood there in the turn before. */
  readonly preamble?: Preamble;
}

export interface StoredReply {
  readonly reply: string;
  /** The same as thinking, text and tool calls. */
  readonly parts: readonly ContentPart[];
  /** Empty where the mode keeps no ids. */
  readonly replyIds: TokenSequence;
  readonly exact: boolean;
}
