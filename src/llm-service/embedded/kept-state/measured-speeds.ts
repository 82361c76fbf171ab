import { chanceOfReturn } from '../../state-value.ts';

/** How much of what was known before a measurement counts beside it: the last ten or so decide. */
const REMEMBERED = 0.9;

/** Milliseconds for an amount of work, from what such work took lately. */
export class MeasuredRate {
  #amount = 0;
  #ms = 0;
  /** The least that any of it took: opening a file costs something, however short it is. */
  #leastMs = Number.POSITIVE_INFINITY;

  took(amount: number, ms: number): void {
    if (amount <= 0) return;
    this.#amount = this.#amount * REMEMBERED + amount;
    this.#ms = this.#ms * REMEMBERED + Math.max(0, ms);
    this.#leastMs = Math.min(this.#leastMs, ms);
  }

  /** Not done because it seemed too slow: what is never done is never measured, and one slow hour must not decide for ever. */
  avoided(): void {
    this.#ms *= REMEMBERED;
    this.#leastMs *= REMEMBERED;
  }

  /** `undefined` until something has been measured. */
  msFor(amount: number): number | undefined {
    if (this.#amount === 0) return undefined;
    return Math.max(this.#leastMs, (amount * this.#ms) / this.#amount);
  }
}

/** What evaluating, saving and restoring cost with this model on this machine, measured while turns are served. */
export class MeasuredSpeeds {
  /** By ids. */
  readonly evaluate = new MeasuredRate();
  /** By bytes, as the next two. */
  readonly save = new MeasuredRate();
  readonly restore = new MeasuredRate();
  #bytesPerToken: number | undefined;

  saved(tokens: number, bytes: number, ms: number): void {
    this.#bytesPerToken = bytes / tokens;
    this.save.took(bytes, ms);
  }

  /** Bytes of a state file; `undefined` before there has been one. */
  bytesFor(tokens: number): number | undefined {
    return this.#bytesPerToken === undefined ? undefined : this.#bytesPerToken * tokens;
  }

  /** Whether reading a state of so many bytes is faster than evaluating the ids that it spares. */
  restoringPays(sparedTokens: number, bytes: number): boolean {
    const evaluateMs = this.evaluate.msFor(sparedTokens);
    const restoreMs = this.#restoreMs(bytes);
    return evaluateMs === undefined || restoreMs === undefined || restoreMs < evaluateMs;
  }

  /**
   * Whether writing a state costs less than what it spares, times the chance that it will; of one whose first `keptTokens`
   * are in a file already, it spares the others. True while nothing has been measured: the first file tells.
   */
  savingPays(state: { readonly tokens: number; readonly keptTokens: number; readonly returns: number }): boolean {
    const { tokens, keptTokens, returns } = state;
    const bytes = this.bytesFor(tokens);
    const evaluateMs = this.evaluate.msFor(tokens - keptTokens);
    if (bytes === undefined || evaluateMs === undefined) return tokens > 0;
    const savedMs = evaluateMs - (keptTokens > 0 ? 0 : (this.#restoreMs(bytes) ?? 0));
    return savedMs * chanceOfReturn(returns) > (this.save.msFor(bytes) ?? 0);
  }

  /** Until a file has been read, as long as writing it takes. */
  #restoreMs(bytes: number): number | undefined {
    return this.restore.msFor(bytes) ?? this.save.msFor(bytes);
  }
}
