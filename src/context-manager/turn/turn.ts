import type { Consistency, WriteConcern } from '../../domain/consistency.ts';
import type { OverflowPolicy } from '../../domain/context-window.ts';
import type { ContextId, SessionId, TurnNumber, UserId } from '../../domain/identifiers.ts';
import type { ContextMode, Message, StopReason } from '../../domain/record/turn-record.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { GenerationUsage } from '../../llm-service/llm-service.ts';

/** What a client asks of one turn, already authenticated and checked for shape. */
export interface TurnRequest {
  readonly userId: UserId;
  /** `undefined` opens a session under a new id. */
  readonly sessionId: SessionId | undefined;
  /** `undefined` means turn 1, or the turn after `contextId`. */
  readonly turn: TurnNumber | undefined;
  readonly contextId: ContextId | undefined;
  /** `undefined` means the node's default; where that keeps contexts, a session's own mode comes first. */
  readonly mode: ContextMode | undefined;
  /** The new messages: in `raw` and `tokenized` an optional system message (turn 1 only) and the user's. */
  readonly messages: readonly Message[];
  /** `client-side` only: the whole prompt as the client keeps it, texts and ids in order. */
  readonly prompt: ReadonlyArray<string | TokenSequence>;
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
  /** `undefined`: the node's default. `most`: as many as the node allows, which is also what more than that comes to. */
  readonly maxTokens: number | 'most' | undefined;
  readonly stop: readonly string[];
  readonly sampling: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
}

/** Whoever waits for the turn. */
export interface TurnObserver {
  /** Called with each piece of the reply as it becomes certain; must not throw. */
  part(text: string, ids: TokenSequence, fields: Readonly<Record<string, unknown>> | undefined): void;
  /** Aborts when the client has left. A turn that has begun to generate is finished and stored all the same. */
  readonly gone: AbortSignal;
}

export interface TurnReply {
  readonly userId: UserId;
  readonly sessionId: SessionId | undefined;
  readonly mode: ContextMode;
  readonly turn: TurnNumber | undefined;
  /** Names the history up to and including this turn. */
  readonly contextId: ContextId | undefined;
  /** The turn this one was answered from: `turn − 1` under `strong`, perhaps less under `available`. */
  readonly basedOnTurn: number | undefined;
  readonly replayed: boolean;
  readonly waitedMs: number;
  /** How often the gate looked again. */
  readonly retries: number;
  /** What was reached of the write concern asked for; `undefined` where nothing is stored. */
  readonly writeConcern: WriteConcern | undefined;
  /** Nodes known to have the record on disk, this one included. */
  readonly replicas: number | undefined;
  /** Turns at the beginning of the session that the model no longer saw. */
  readonly droppedTurns: number;
  readonly text: string;
  readonly replyIds: TokenSequence;
  /** False when the reply's ids were recovered from its text. */
  readonly exact: boolean;
  /** Length of the whole prompt, in ids; 0 for a replay. */
  readonly promptTokens: number;
  readonly stop: StopReason;
  readonly usage: GenerationUsage;
  /** Further fields of the LLM Service's own reply. */
  readonly fields: Readonly<Record<string, unknown>>;
}
