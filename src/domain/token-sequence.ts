declare const brand: unique symbol;
/** An index into one model's vocabulary, 0 … 2³¹−1. Ids of different keygroups must never meet. */
export type TokenId = number & { readonly [brand]: 'TokenId' };

/** Token ids in reading order. A plain array, because that is what llama.cpp bindings and JSON take. */
export type TokenSequence = readonly TokenId[];

/** Largest id a record can hold: llama.cpp's `llama_token` is a signed 32-bit integer. */
export const TOKEN_ID_MAX = 0x7fff_ffff;

/** How many leading ids a sequence shares with another, or with what of that follows its first `from` ids. */
export function commonPrefixLength(a: TokenSequence, b: TokenSequence, from = 0): number {
  const end = Math.min(a.length, b.length - from);
  let i = 0;
  while (i < end && a[i] === b[from + i]) i++;
  return i;
}

/** Appends in place without spreading: `push(...ids)` overflows the stack near 10⁵ ids. */
export function appendTokens(target: TokenId[], ids: TokenSequence): void {
  for (let i = 0; i < ids.length; i++) target.push(ids[i] as TokenId);
}
