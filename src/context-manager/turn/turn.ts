import type { ContextId, SessionId, TurnNumber, UserId } from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import type { ConversationDigest } from '../../domain/record/conversation-digest.ts';
import type { Extensions } from '../../domain/record/extensions.ts';
import type { OptionalLayer } from '../../domain/record/layers-left-out.ts';
import type { ContentPart } from '../../domain/record/message-content.ts';
import type { Preamble } from '../../domain/record/preamble.ts';
import type { Search } from '../../domain/record/retrieved.ts';
import type { Message, StopReason, StoredMode } from '../../domain/record/turn-record.ts';
import type { Consistency, WriteConcern } from '../../domain/session/consistency.ts';
import type { OverflowPolicy } from '../../domain/session/context-window.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { TurnPlace } from '../../domain/session/turn-decision.ts';
import type { RememberedTurn } from '../../domain/session/turn-repair.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { ReasoningPolicy } from '../../llm-service/chat-template.ts';
import type { GenerationProgress, GenerationRequest, GenerationUsage } from '../../llm-service/llm-service.ts';
import type { ToldLayers } from '../layers/told-layers.ts';
import type { ReplyForm } from './reply/reply-form.ts';
import type { PartDelta } from './reply/reply-parts.ts';

/** How a reply is to be made, whatever its prompt. */
export interface ReplyOptions {
  /** `undefined`: the node's default. `most`: as many as the node allows, which is also what more than that comes to. */
  readonly maxTokens: number | 'most' | undefined;
  readonly stop: readonly string[];
  /** llama.cpp's sampling parameters under their own names. */
  readonly sampling: Readonly<Record<string, unknown>>;
  /** Whether someone reads the parts as they come. */
  readonly stream: boolean;
  /** What its reader is told beside them; nothing if left out. */
  readonly tell?: GenerationRequest['tell'] | undefined;
  /** What the reply has to be; absent: what the model makes of it. */
  readonly form?: ReplyForm;
}

/** What a client asks of one turn, which is then stored; already authenticated and checked for shape. */
export interface TurnRequest extends ReplyOptions {
  readonly userId: UserId;
  /** `undefined` opens a session under a new id. */
  readonly sessionId: SessionId | undefined;
  readonly place: TurnPlace;
  /** `undefined`: the session's own, or for a new one what the node opens sessions in. */
  readonly mode: StoredMode | undefined;
  /** The new messages: an optional system message (turn 1 only), then the user's, or tools' results, or several of both. */
  readonly messages: readonly Message[];
  /** What stands before the conversation in this turn's prompt alone; absent: what the session's turn before had. */
  readonly preamble?: Preamble;
  /** Context layers that its prompt does without; absent: has them all. */
  readonly withoutLayers?: readonly OptionalLayer[];
  /** Kept with the record, for whoever asks; see {@link Extensions}. Where it says how the reply was made, as a function of that. */
  readonly extensions?: Extensions | ((made: ReplyCost) => Extensions);
  /** Ids of nodes where its client expects to take the next turn, which it may have wrong; absent where it does not say. */
  readonly nextNodes?: readonly string[];
  /** The conversation that it answers: its record is found by that, and by what it is with the reply. */
  readonly conversation?: ConversationDigest;
  /** Which it is of several replies to one request; absent for the first. */
  readonly choice?: number;
  readonly consistency: Consistency;
  /** How long the turn gate may wait for the turn before this one. */
  readonly maxWaitMs: number;
  /** Where the turn's record is to be durable before the reply ends. */
  readonly writeConcern: WriteConcern;
  /** How long the end of the reply may wait for a peer to have the record, under `replicated`. */
  readonly replicatedWaitMs: number;
  /** `undefined` keeps the session's, or the node's default. */
  readonly ttlSeconds: number | undefined;
  readonly overflow: OverflowPolicy;
  /** What becomes of the reasoning in earlier replies. */
  readonly reasoning: ReasoningPolicy;
  /**
   * The turns right before this one, oldest first, as the client was answered: they take the place of those that are lost. Left
   * out, a turn whose history is lost is refused.
   */
  readonly repair?: readonly RememberedTurn[];
}

/** What a reply took. */
export interface ReplyCost {
  readonly promptTokens: number;
  readonly usage: GenerationUsage;
}

/** A whole conversation, opened anew: what was said up to the last reply, and what is new after it. */
export function openedWith(messages: readonly Message[]): {
  readonly history: readonly Message[];
  readonly messages: readonly Message[];
} {
  const begun = messages.findLastIndex(({ role }) => role === 'assistant') + 1;
  return { history: messages.slice(0, begun), messages: messages.slice(begun) };
}

/** What a turn adds to its session: the conversation that it begins with, where it does, and the new messages. */
export function addedMessages({ place, messages }: Pick<TurnRequest, 'place' | 'messages'>): readonly Message[] {
  const history = 'opens' in place ? (place.history ?? []) : [];
  return history.length === 0 ? messages : [...history, ...messages];
}

/** A prompt whose context its client keeps (mode `client-side`): it is answered, and nothing is stored. */
export interface ForwardRequest extends ReplyOptions {
  readonly prompt: ClientPrompt;
  /** Before a conversation; not with any other prompt. */
  readonly preamble?: Preamble;
  /** Whether the reply tells the prompt in words. */
  readonly promptText?: boolean;
  /** Whose it is, where that is known: for limits alone. */
  readonly userId?: UserId;
}

/**
 * A whole prompt: texts and ids in order, where text of control tokens is read as control tokens; or a conversation, which
 * is rendered under the model's chat template and whose contents are nothing but text.
 */
export type ClientPrompt = ReadonlyArray<string | TokenSequence> | { readonly conversation: readonly Message[] };

/** Whoever waits for the reply. */
export interface TurnObserver {
  /** Called once it is known what the turn goes on from, or that it was answered before; must not throw. */
  begun?(place: { readonly base: Turn | undefined; readonly answered: Turn | undefined }): void;
  /** Called with each piece of the reply as it becomes certain; must not throw. */
  part(piece: ReplyPiece): void;
  /** Called before the first piece, where the request asks for it; must not throw. */
  progress?(progress: PromptProgress): void;
  /** Aborts with a DiscedgeError when this turn, and no other of its session, is to be cancelled, if it is not too late. */
  readonly stop?: AbortSignal;
  /** Aborts when the client has left. A turn that has begun to generate is finished and stored all the same. */
  readonly gone: AbortSignal;
  /** To whom the turn is counted; `undefined`: to the node itself. */
  readonly account?: TurnAccount | undefined;
}

export type PromptProgress = Omit<GenerationProgress, 'kind'>;

export interface ReplyPiece {
  readonly text: string;
  readonly ids: TokenSequence;
  /** What it adds to the parts of the reply, in order. */
  readonly parts?: readonly PartDelta[];
  /** Length of the whole prompt, in ids; 0 for a replay. */
  readonly promptTokens: number;
  /** Of the reply up to here, where the request asks for it. */
  readonly usage?: GenerationUsage;
  /** Further fields of the LLM Service's own reply. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A whole reply, as it was generated or stored. */
export interface Reply {
  /** All that was shown of what the model wrote; {@link parts} have the same taken apart. */
  readonly text: string;
  /** Thinking, text and tool calls, in order. */
  readonly parts: readonly ContentPart[];
  readonly replyIds: TokenSequence;
  /** False when the reply's ids were recovered from its text. */
  readonly exact: boolean;
  /** Length of the whole prompt, in ids; 0 for a replay. */
  readonly promptTokens: number;
  readonly stop: StopReason;
  /** Whether it was the context window that ended the reply. */
  readonly windowIsFull: boolean;
  readonly usage: GenerationUsage;
  /** How it was made; `undefined` for a replay. */
  readonly made: ReplyMaking | undefined;
  /** Further fields of the LLM Service's own reply. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** To a prompt of a client that keeps its context. */
export interface ForwardedReply extends Reply {
  /** The whole prompt in words; `undefined` where that is not asked for, and where its ids cannot be put into words. */
  readonly promptText: string | undefined;
  /** Ids of the reply that are reasoning. */
  readonly reasoningTokens: number;
}

export interface ReplyMaking {
  /** Most ids that the reply was allowed, within the node's limit and whatever there was room for. */
  readonly maxTokens: number;
  /** As the LLM Service tells it. */
  readonly slot: number | undefined;
  readonly settings: Readonly<Record<string, unknown>> | undefined;
}

/** The reply to a turn that is not taken, and the place in its session that it would have had. */
export interface DraftedTurn extends EvaluatedTurn {
  /** Ids of the reply that are reasoning. */
  readonly reasoningTokens: number;
}

/** A reply, perhaps of no ids, and its place in a session. */
export interface EvaluatedTurn extends Reply {
  readonly userId: UserId;
  readonly sessionId: SessionId;
  readonly mode: StoredMode;
  /** The turn this one was answered from: `turn − 1` under `strong`, perhaps less under `available`. */
  readonly basedOnTurn: number;
  /** The history it was answered from; `undefined` for turn 1. Under `available` perhaps not the one that was named. */
  readonly basedOnContext: ContextId | undefined;
  readonly waitedMs: number;
  /** How often the gate looked again. */
  readonly retries: number;
  /** Turns at the beginning of the session that the model no longer saw, and that nothing stands for. */
  readonly droppedTurns: number;
  /** What stood before the conversation beside its own; `undefined` where nothing did or had, and for a replay. */
  readonly layers: ToldLayers | undefined;
  /** What stood for turns at the beginning; absent where nothing did. */
  readonly summarized?: SummarizedTurns;
  /** Turns that it leaves out and of which the model read again what was said; absent: none. */
  readonly retrievedTurns?: readonly TurnNumber[];
  /** How they were found; absent: none were. */
  readonly retrievedBy?: Search;
}

/** Turns that the model read a summary of. */
export interface SummarizedTurns {
  readonly turns: number;
  /** Ids of the summary, as far as ids are kept of it. */
  readonly tokens: number | undefined;
  /** `now`: the turn has waited for it. `ahead`: it was there when it was needed. `before`: an earlier turn had begun with it, or this one is a replay. */
  readonly made: 'now' | 'ahead' | 'before';
}

/** The reply to a turn, and the place that the turn now has in its session. */
export interface TurnReply extends EvaluatedTurn {
  readonly turn: TurnNumber;
  /** Names the history up to and including this turn. */
  readonly contextId: ContextId;
  /** What is stored of it. */
  readonly stored: Turn;
  readonly replayed: boolean;
  /**
   * Whether no other node can have answered this very turn; `false` where the one that tells could not be asked, or, under
   * `available`, was not. `undefined` for a replay, which says nothing of it.
   */
  readonly arbitrated: boolean | undefined;
  /** What was reached of the write concern asked for. */
  readonly writeConcern: WriteConcern;
  /** Nodes known to have the record on disk, this one included. */
  readonly replicas: number;
  /** Ids of the context before that were evaluated again because the template has earlier turns otherwise; 0 for a replay. */
  readonly rewrittenTokens: number;
  /** How many turns right before it were told by the client in place of lost ones. */
  readonly repairedTurns: number;
}
