import type { WarmingStatus } from '../llm-service.ts';

/** Which ids of a KV state were evaluated ahead of need, `from` the first `to` before the last, and not found by a generation yet. */
export interface WarmSpan {
  readonly from: number;
  readonly to: number;
}

/** What became of ids that were evaluated ahead of need: each is used, wasted or still held. */
export class WarmAccount {
  #warmedTokens = 0;
  #usedTokens = 0;
  #wastedTokens = 0;
  #preemptions = 0;

  /**
   * Ids were evaluated ahead of need, behind the first `span.from` of a state that had `before`. Returns what of it is warm now.
   */
  evaluated(span: WarmSpan, before: WarmSpan | undefined): WarmSpan {
    this.#warmedTokens += span.to - span.from;
    const kept = this.cut(before, span.from);
    if (kept === undefined) return span;
    if (kept.to === span.from) return { from: kept.from, to: span.to };
    // Two spans with others between: of the first, which is the rarer to come to use, no account is kept.
    this.lost(kept);
    return span;
  }

  /** The state was cut back to its first `tokens`. Returns what of it is still warm. */
  cut(span: WarmSpan | undefined, tokens: number): WarmSpan | undefined {
    if (span === undefined || span.to <= tokens) return span;
    const from = Math.min(span.from, tokens);
    this.#wastedTokens += span.to - Math.max(span.from, tokens);
    return from === tokens ? undefined : { from, to: tokens };
  }

  /** A generation found the state's first `tokens`. Returns how many of those were warm. */
  found(span: WarmSpan | undefined, tokens: number): number {
    if (span === undefined) return 0;
    const used = Math.max(0, Math.min(span.to, tokens) - span.from);
    this.#usedTokens += used;
    this.#wastedTokens += span.to - span.from - used;
    return used;
  }

  /** {@link found} for the first call; 0 for any after it. */
  finding(span: WarmSpan | undefined): (tokens: number) => number {
    let rest = span;
    return (tokens) => {
      const used = this.found(rest, tokens);
      rest = undefined;
      return used;
    };
  }

  lost(span: WarmSpan | undefined): void {
    if (span !== undefined) this.#wastedTokens += span.to - span.from;
  }

  preempted(): void {
    this.#preemptions++;
  }

  status(): WarmingStatus {
    const [warmedTokens, usedTokens, wastedTokens] = [this.#warmedTokens, this.#usedTokens, this.#wastedTokens];
    const heldTokens = warmedTokens - usedTokens - wastedTokens;
    return { warmedTokens, usedTokens, wastedTokens, heldTokens, preemptions: this.#preemptions };
  }
}
