import { MeasuredRate } from '../../measured-rate.ts';
import { chanceOf, type ValuedState } from '../../state-value.ts';

/** What evaluating, saving and restoring cost with this model on this machine, measured while turns are served. */
export class MeasuredSpeeds {
  /** By ids. */
  readonly evaluate = new MeasuredRate();
  /** By ids as well, in smaller pieces. */
  readonly evaluateAhead = new MeasuredRate();
  /** By bytes, as the next one. */
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
    const evaluateMs = this.#evaluateMs(sparedTokens);
    const restoreMs = this.#restoreMs(bytes);
    return evaluateMs === undefined || restoreMs === undefined || restoreMs < evaluateMs;
  }

  /**
   * Whether writing a state costs less than what it spares, times the chance that it will; of one whose first `keptTokens`
   * are in a file already, it spares the others. True while nothing has been measured: the first file tells.
   */
  savingPays(state: Omit<ValuedState, 'usedAt'> & { readonly keptTokens: number }): boolean {
    const { tokens, keptTokens } = state;
    const bytes = this.bytesFor(tokens);
    const evaluateMs = this.#evaluateMs(tokens - keptTokens);
    if (bytes === undefined || evaluateMs === undefined) return tokens > 0;
    const savedMs = evaluateMs - (keptTokens > 0 ? 0 : (this.#restoreMs(bytes) ?? 0));
    return savedMs * chanceOf(state) > (this.save.msFor(bytes) ?? 0);
  }

  #evaluateMs(tokens: number): number | undefined {
    return this.evaluate.msFor(tokens) ?? this.evaluateAhead.msFor(tokens);
  }

  /** Until a file has been read, as long as writing it takes. */
  #restoreMs(bytes: number): number | undefined {
    return this.restore.msFor(bytes) ?? this.save.msFor(bytes);
  }
}
