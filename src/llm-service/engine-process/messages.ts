import type { ContextOverflow, ErrorCode } from '../../domain/errors.ts';
import type { LogFields, Logger } from '../../environment/environment.ts';
import type {
  GenerationEvent,
  GenerationRequest,
  KeptStateStatus,
  LlmDescription,
  LlmService,
  WarmOutcome,
  WarmRequest,
} from '../llm-service.ts';
import type { ToldWarming } from './process-warming.ts';

/** What the node tells an engine process. Sent by structured clone; many ids as 32-bit integers, 4 bytes each. */
export type ToEngine =
  | { readonly kind: 'tokenize'; readonly call: number; readonly args: Parameters<LlmService['tokenize']> }
  | { readonly kind: 'detokenize'; readonly call: number; readonly args: Parameters<LlmService['detokenize']> }
  | { readonly kind: 'pieces'; readonly call: number; readonly args: Parameters<LlmService['pieces']> }
  | { readonly kind: 'ready'; readonly call: number }
  | { readonly kind: 'generate'; readonly call: number; readonly request: SentIds<GenerationRequest> }
  | { readonly kind: 'warm'; readonly call: number; readonly request: SentIds<WarmRequest> }
  /** Of a generation, or of warming. */
  | { readonly kind: 'abort'; readonly call: number }
  /** Not answered: an engine that ends before it has heard it finds the state when it starts again, and is told anew. */
  | { readonly kind: 'forget'; readonly affinity: string }
  /** Of every session whose affinity contains `part`; answered once nothing of them is left. */
  | { readonly kind: 'forget-all'; readonly call: number; readonly part: string }
  /** Not answered: an engine that ends before it has heard it holds nothing; of what is in files it counts nothing as warm. */
  | { readonly kind: 'drop-warm'; readonly affinity: string }
  /** Not answered: an engine that ends before it has heard it holds nothing. */
  | { readonly kind: 'expect'; readonly affinity: string; readonly chance: number }
  /** The process saves what it has and ends. */
  | { readonly kind: 'close' };

export type SentIds<Request extends { readonly prompt: unknown }> = Omit<Request, 'prompt'> & {
  readonly prompt: Int32Array;
};

/** Text, ids, bytes of ids, what came of warming, or nothing. */
export type AnswerValue = string | Int32Array | Uint8Array[] | WarmOutcome | undefined;

/** What an engine process tells the node. Each call is answered once; a generation's events come before its answer. */
export type FromEngine =
  | { readonly kind: 'started'; readonly description: LlmDescription; readonly slots: number }
  /** Sessions whose state an earlier process kept; right after its start, from an engine that keeps any. */
  | { readonly kind: 'found'; readonly affinities: readonly string[] }
  | { readonly kind: 'kept'; readonly status: KeptStateStatus }
  | ({ readonly kind: 'warming' } & ToldWarming)
  | { readonly kind: 'not-started'; readonly error: SentError }
  | { readonly kind: 'event'; readonly call: number; readonly event: GenerationEvent }
  | { readonly kind: 'answer'; readonly call: number; readonly value: AnswerValue }
  | { readonly kind: 'refused'; readonly call: number; readonly error: SentError }
  /** Something in it hangs for good: it should be ended once what still runs in it has ended. */
  | { readonly kind: 'stuck' }
  | {
      readonly kind: 'log';
      readonly level: keyof Logger;
      readonly event: string;
      readonly fields: LogFields | undefined;
      readonly error: SentError | undefined;
    };

/** A thrown value as data. */
export interface SentError {
  /** `undefined` for what is no DiscedgeError. */
  readonly code: ErrorCode | undefined;
  readonly name: string;
  readonly message: string;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly overflow: ContextOverflow | undefined;
  readonly stack: string | undefined;
  readonly cause: SentError | undefined;
}
