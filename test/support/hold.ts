/** A point that code under test reaches and stays at until the test lets it go on. */
export class Hold {
  /** Resolves when the point is reached. */
  readonly entered: Promise<void>;
  readonly #released: Promise<void>;
  #enter = () => {};
  #release = () => {};

  constructor() {
    this.entered = new Promise((resolve) => {
      this.#enter = resolve;
    });
    this.#released = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  /** Called at the point; rejects with the signal's reason when it aborts. */
  async pass(signal?: AbortSignal): Promise<void> {
    this.#enter();
    if (signal === undefined) return this.#released;
    signal.throwIfAborted();
    let stop = () => {};
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason);
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      await Promise.race([this.#released, stopped]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  release(): void {
    this.#release();
  }
}
