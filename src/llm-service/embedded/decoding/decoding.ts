import type { LlamaContext } from 'node-llama-cpp';

/** Called where an id is sampled; `logitsAt` says where in the batch its logits are. */
export type Sample = (logitsAt: number, ...rest: readonly unknown[]) => unknown;

/** Ids that a sequence is to evaluate in one batch. */
export interface DecodeRequest {
  readonly sequenceId: number;
  readonly tokens: ArrayLike<unknown>;
  readonly afterBatchAction?: ((...args: readonly unknown[]) => unknown) | undefined;
}

export type Decode = (request: DecodeRequest, sample: Sample) => Promise<ReadonlyArray<unknown>>;

/** Puts something around what node-llama-cpp's context does for each sequence. Throws TypeError where it does it in another way. */
export function aroundDecoding(context: LlamaContext, wrap: (decode: Decode) => Decode): void {
  // Not part of its API.
  const decoding = context as unknown as { _decodeTokens: Decode };
  if (typeof decoding._decodeTokens !== 'function') throw new TypeError('node-llama-cpp decodes in another way now');
  decoding._decodeTokens = wrap(decoding._decodeTokens.bind(context));
}
