import type { ModelIdentity } from '../domain/cluster/model-identity.ts';
import { DiscedgeError, type ErrorCode } from '../domain/errors.ts';
import type { StopReason } from '../domain/record/turn-record.ts';
import type { TokenId, TokenSequence } from '../domain/token-sequence.ts';

/**
 * The inference engine (paper §3.2). Ids in, ids out: whatever the service does with text inside, the prompt it
 * evaluates is exactly `prompt`, and the ids it reports are exactly what it sampled.
 *
 * All methods throw DiscedgeError: `llm_unavailable`, `llm_timeout`, `llm_bad_reply`, `unsupported_parameter`,
 * `invalid_request` (empty prompt, ids outside the vocabulary), `context_overflow` (no room for a reply). After
 * `close` every call throws `llm_unavailable`.
 */
export interface LlmService {
  readonly description: LlmDescription;

  /** How many generations it works on at once, whoever asks; left out: as many as it is given. */
  readonly parallel?: number;

  /** The process that the engine lives in, where the node runs one for it. */
  readonly process?: EngineProcessStatus;

  /** For people: which program answers, of a service that is a server's. */
  readonly program?: string;

  /** For people: where texts become ids, of a service that may have them made elsewhere than in the engine. */
  readonly tokenizer?: string;

  /** What it keeps of sessions beside what its sequences hold, where it does. */
  readonly keptStates?: KeptStates;

  /** Evaluates contexts ahead of need, where it can. */
  readonly warming?: Warming;

  /** Ids of a text, without BOS. With `parseSpecial` off, control-token text becomes ordinary ids. */
  tokenize(text: string, options: { readonly parseSpecial: boolean }): Promise<TokenId[]>;

  /** Text of ids. Control tokens give no text, or with `special` their own; incomplete UTF-8 gives U+FFFD. */
  detokenize(ids: TokenSequence, options?: { readonly special: boolean }): Promise<string>;

  /** The bytes of each id by itself: of half a character they are no text, of a control token they are its own. */
  pieces(ids: TokenSequence): Promise<Uint8Array[]>;

  /** Its places for generations side by side; of a server that others use as well only this node's work is known. */
  slots(): readonly SlotState[];

  /**
   * Evaluates `prompt` and samples a reply. Any number of `part` events, then exactly one `end`; before the parts, where it
   * is asked for, how far the prompt is. Requests beyond what the service runs at once wait inside it. Aborting `signal` ends the iteration by throwing `signal.reason`, within one
   * prefill chunk.
   */
  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent>;

  /**
   * Vectors of texts, or of ids, in their order; absent where the engine makes none. Throws `unsupported_parameter` where it is
   * found out by asking.
   */
  embed?(inputs: readonly (string | TokenSequence)[], signal: AbortSignal): Promise<Embeddings>;

  /** Resolves when the service can take work now; throws `llm_unavailable` otherwise. For readiness probes. */
  ready(): Promise<void>;

  /** Ends running generations and frees the model. Idempotent. */
  close(): Promise<void>;
}

/** Makes vectors of texts alone, whatever engine answers the turns. Throws as {@link LlmService} does. */
export type Embedder = Required<Pick<LlmService, 'embed'>>;

export interface Embeddings {
  readonly vectors: readonly (readonly number[])[];
  /** Ids of all inputs together. */
  readonly promptTokens: number;
}

/** Whether the service failed, and not the request: sent again later, it may be answered. */
export function isLlmFailure(error: unknown): error is DiscedgeError {
  return error instanceof DiscedgeError && FAILURES.has(error.code);
}

const FAILURES: ReadonlySet<ErrorCode> = new Set(['llm_unavailable', 'llm_bad_reply', 'llm_timeout']);

export interface SlotState {
  readonly busy: boolean;
}

export interface EngineProcessStatus {
  /** False from the process's end until another one has loaded the model. */
  readonly isUp: boolean;
  /** `undefined` while there is none. */
  readonly pid: number | undefined;
  /** Times that it ended, or hung and was ended, and was started again. */
  readonly restarts: number;
}

/** KV state of sessions that the service keeps on this node, to evaluate less when they come back. */
export interface KeptStates {
  status(): KeptStateStatus;
  /** Drops whatever is kept or held of a session, by its {@link GenerationRequest.affinity}. */
  forget(affinity: string): void;
  /**
   * Calls `listener` with the affinities whose state was kept before the service started, or started again: of sessions that
   * are gone meanwhile it should be told to forget them.
   */
  onFound(listener: (affinities: readonly string[]) => void): void;
}

export interface KeptStateStatus {
  /** Of all that is kept. */
  readonly bytes: number;
  readonly files: number;
  /** Since the node's start. */
  readonly saves: number;
  readonly restores: number;
  /** Files that were damaged, or another model's, build's or session's. */
  readonly refused: number;
  /** States given up, or not kept at all, for want of room. */
  readonly dropped: number;
}

/** Predictive prefill: contexts are evaluated into the KV cache before anyone asks, behind every generation. */
export interface Warming {
  /**
   * Has the KV cache hold `prompt`, evaluating in chunks what it lacks, for a generation of equal affinity whose prompt begins so.
   * One at a time; others wait. A generation waits for one chunk at most, and not for one that takes much longer than others do; while any
   * runs, warming stands still. Always resolves, but for a prompt that no generation could begin with: `invalid_request`,
   * `context_overflow`. What is done when it ends early stays, and is gone on from.
   */
  warm(request: WarmRequest, signal: AbortSignal): Promise<WarmOutcome>;
  /** What evaluating costs here; `undefined` until something has been evaluated. */
  speed(): WarmingSpeed | undefined;
  status(): WarmingStatus;
  /** Drops what is held of a session, warm or not, and what is kept; one that is being warmed is not any more. */
  forget(affinity: string): void;
  /**
   * {@link forget}, of every session whose affinity contains `part`. Resolves once nothing of them is held or kept where this service
   * can drop it: generations under way for them are waited for. Rejects where that could not be done, or nobody knows.
   */
  forgetAll(part: string): Promise<void>;
  /**
   * Drops what of a session was evaluated ahead of need and found by no generation yet. What its generations left stays; where the two
   * are in one state that cannot be cut back, so does that. One that is being generated for or warmed stays as it is.
   */
  dropWarm(affinity: string): void;
  /**
   * From now on, until its next generation, what is held and kept of a session will be wanted with that chance, 0 to 1: what is less
   * likely to be gives way first.
   */
  expect(affinity: string, chance: number): void;
}

export interface WarmRequest {
  readonly prompt: TokenSequence;
  /** As {@link GenerationRequest.affinity}. */
  readonly affinity: string;
  /** As {@link GenerationRequest.owner}. */
  readonly owner?: string | undefined;
  /** 0 to 1, that it will be wanted here: what is held and worth more is not pushed out for it. */
  readonly chance: number;
}

export interface WarmOutcome {
  /**
   * `warm`: all of it is in the KV cache. `taken`: its own session's generation came, and went on from what was done. `forgotten`: its session
   * is gone. `no_room`: all that is held is worth more, or too many wait. `not_kept`: the engine would not keep it. `stopped`: by
   * the signal, or the service was closed. `failed`: the engine did.
   */
  readonly end: 'warm' | 'taken' | 'forgotten' | 'no_room' | 'not_kept' | 'stopped' | 'failed';
  /** Of the prompt's ids, those that the KV cache held already, */
  readonly cachedTokens: number;
  /** those that were brought back from state that is kept, */
  readonly restoredTokens: number;
  /** and those that were evaluated, all for this request. */
  readonly evaluatedTokens: number;
}

export interface WarmingSpeed {
  /** To evaluate one id of a prompt. */
  readonly msPerToken: number;
  /** Of KV state, for an id; `undefined` where that is not known. */
  readonly bytesPerToken: number | undefined;
}

/** Counts since the node's start: ids warmed are used, wasted or still held. */
export interface WarmingStatus {
  /** Ids evaluated ahead of need. */
  readonly warmedTokens: number;
  /** Those that a generation has found. */
  readonly usedTokens: number;
  /** Those that were dropped, displaced or forgotten before one did. */
  readonly wastedTokens: number;
  readonly heldTokens: number;
  /** Times that warming stood aside for a generation. */
  readonly preemptions: number;
}

/** Fixed once the service has started. */
export interface LlmDescription {
  readonly identity: ModelIdentity;
  /** Ids that prompt and reply may have together. */
  readonly contextTokens: number;
  readonly vocabularySize: number;
  /** Jinja source, from the GGUF or `/props`; `undefined` for a base model. */
  readonly chatTemplate: string | undefined;
  /** Text of BOS and EOS as templates use them; empty where the model has none. */
  readonly bosText: string;
  readonly eosText: string;
  /** BOS id, where this model's prompts must begin with it. */
  readonly prependBos: TokenId | undefined;
  /** Ids that end a reply. At least those the service can name; a reply may end with another control token. */
  readonly endOfGeneration: ReadonlySet<TokenId>;
}

/** What of an LLM Service needs no generation. */
export type Vocabulary = Pick<LlmService, 'description' | 'tokenize' | 'detokenize' | 'pieces'>;

export interface GenerationRequest {
  readonly prompt: TokenSequence;
  /** 0: the prompt is evaluated into the KV cache, for a request to come, and nothing is sampled. */
  readonly maxTokens: number;
  /** Texts at which the reply stops; the text shown ends before the first of them. */
  readonly stop: readonly string[];
  /** llama.cpp's `/completion` sampling parameters under their own names, not yet checked. */
  readonly sampling: Readonly<Record<string, unknown>>;
  /** Requests with equal affinity share a KV prefix: keep them on one sequence or slot. `undefined`: no preference. */
  readonly affinity: string | undefined;
  /** Who may find their own KV state here and nobody else's, where a service keeps users apart. `undefined`: nobody's in particular. */
  readonly owner?: string | undefined;
  /** Whether someone reads the parts as they come. False lets a service answer in one piece, which is exact and cheaper. */
  readonly stream: boolean;
  /** What is told on the way, to a reader of parts: `progress` events, and `usage` with each part. Nothing if left out. */
  readonly tell?: { readonly progress: boolean; readonly usage: boolean } | undefined;
}

export type GenerationEvent = GenerationProgress | GenerationPart | GenerationEnd;

/** How far the evaluation of the prompt is. */
export interface GenerationProgress {
  readonly kind: 'progress';
  readonly promptTokens: number;
  /** Prompt ids found in the KV cache. */
  readonly cachedTokens: number;
  /** Prompt ids that are in it by now, `cachedTokens` included. */
  readonly processedTokens: number;
  readonly elapsedMs: number;
}

export interface GenerationPart {
  readonly kind: 'part';
  /** Text that has become certain; may be empty while a character or a stop word is incomplete. */
  readonly text: string;
  readonly ids: TokenSequence;
  /** Of the reply up to here. */
  readonly usage?: GenerationUsage;
  /** Further fields of the service's own reply, e.g. `completion_probabilities`. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

export interface GenerationEnd {
  readonly kind: 'end';
  /** The whole reply: every id sampled, hidden stop-word ids and the end token included. */
  readonly ids: TokenSequence;
  /** The whole text shown: the concatenation of the parts' texts. */
  readonly text: string;
  /** False when ids had to be recovered by tokenizing text. */
  readonly exact: boolean;
  readonly stop: StopReason;
  readonly usage: GenerationUsage;
  /** Which of its slots it was. */
  readonly slot?: number;
  /** The sampling parameters that applied, defaults included, under the names of {@link GenerationRequest.sampling}. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export interface GenerationUsage {
  /** Prompt ids found in the KV cache. */
  readonly cachedTokens: number;
  /** How many of those found were brought back for this request from state that is kept; none if left out. */
  readonly restoredTokens?: number;
  /** How many of those found were evaluated ahead of need and are found for the first time; none if left out. */
  readonly warmedTokens?: number;
  /** Prompt ids evaluated for this request. */
  readonly evaluatedTokens: number;
  readonly promptMs: number;
  readonly predictedTokens: number;
  readonly predictedMs: number;
}

/** Of what was not generated, or not yet. */
export const NO_USAGE: GenerationUsage = {
  ...{ cachedTokens: 0, evaluatedTokens: 0, promptMs: 0, predictedTokens: 0, predictedMs: 0 },
};
