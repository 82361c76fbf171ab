/** Ids of a block of KV state: it is found whole or not at all. */
export const BLOCK_TOKENS = 16;

/** What vLLM's prefix cache would hold: whole blocks, each found by all ids before it and the salt. Nothing is evicted. */
export class PrefixCache {
  readonly #blocks = new Set<string>();

  /** Ids of `prompt` that are found; the last id is always evaluated. */
  find(prompt: readonly number[], salt: string): number {
    let found = 0;
    while (found + BLOCK_TOKENS < prompt.length && this.#blocks.has(keyOf(prompt, found + BLOCK_TOKENS, salt)))
      found += BLOCK_TOKENS;
    return found;
  }

  keep(ids: readonly number[], salt: string): void {
    for (let end = BLOCK_TOKENS; end <= ids.length; end += BLOCK_TOKENS) this.#blocks.add(keyOf(ids, end, salt));
  }
}

function keyOf(ids: readonly number[], end: number, salt: string): string {
  return `${salt}:${ids.slice(0, end).join()}`;
}
