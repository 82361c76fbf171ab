import type { Clock } from '../../../environment/environment.ts';

/** When a peer was last heard, and a call once it has been quiet for too long. */
export class LastSeen {
  readonly #clock: Clock;
  readonly #quietMs: number;
  readonly #onQuiet: () => void;
  #atMs: number | undefined;
  #cancelWatch = () => {};

  /** `quietMs` of silence after a sign of life end in one `onQuiet`; infinite: nobody watches. */
  constructor(clock: Clock, { quietMs, onQuiet }: { readonly quietMs: number; readonly onQuiet: () => void }) {
    this.#clock = clock;
    this.#quietMs = quietMs;
    this.#onQuiet = onQuiet;
  }

  /** Wall clock; `undefined` before the first sign of life. */
  get atMs(): number | undefined {
    return this.#atMs;
  }

  note(): void {
    this.#atMs = this.#clock.now();
    this.stopWatching();
    if (this.#quietMs !== Number.POSITIVE_INFINITY) this.#cancelWatch = this.#clock.after(this.#quietMs, this.#onQuiet);
  }

  /** Until the next sign of life. */
  stopWatching(): void {
    this.#cancelWatch();
  }
}
