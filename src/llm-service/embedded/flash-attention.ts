import type { FlashAttention } from '../../domain/flash-attention.ts';

/**
 * What llama.cpp is told where `gpu` computes, false for a CPU. Left to itself it takes flash attention wherever the model allows. On a CPU
 * fewer than 64 ids at a time, which questions and replies are, then take up to twice as long in a context of some thousand ids.
 */
export function flashAttentionFor(asked: FlashAttention, gpu: string | false): 'auto' | boolean {
  if (asked !== 'auto') return asked === 'on';
  return gpu === false ? false : 'auto';
}
