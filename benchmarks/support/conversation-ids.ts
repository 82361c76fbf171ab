import type { TokenId } from '../../src/domain/token-sequence.ts';

/** Ids that every model of some thousand has, other ones for each conversation. */
export function idOf(seed: number, at: number): TokenId {
  return (200 + ((at * 7 + seed * 131) % 1500)) as TokenId;
}
