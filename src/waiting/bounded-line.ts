interface Waiter<Place> {
  readonly serve: (place: Place) => void;
  readonly refuse: (reason: unknown) => void;
}

/**
 * Those who wait for a place that is handed over from one to the next: served in the order they came, bounded, and free to
 * leave.
 */
export class BoundedLine<Place = void> {
  readonly #waitingMax: number;
  readonly #whenFull: (waiting: number) => Error;
  readonly #waiting = new Set<Waiter<Place>>();

  /** `whenFull` is what joining throws when `waitingMax` wait already. */
  constructor(waitingMax: number, whenFull: (waiting: number) => Error) {
    this.#waitingMax = waitingMax;
    this.#whenFull = whenFull;
  }

  /** Resolves with a place when it is one's turn. Throws what `whenFull` says, and `signal.reason` on abort before that. */
  join(signal: AbortSignal): Promise<Place> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      if (this.#waiting.size >= this.#waitingMax) throw this.#whenFull(this.#waiting.size);
      const leave = () => {
        signal.removeEventListener('abort', giveUp);
        this.#waiting.delete(waiter);
      };
      const waiter: Waiter<Place> = {
        serve(place) {
          leave();
          resolve(place);
        },
        refuse(reason) {
          leave();
          reject(reason);
        },
      };
      const giveUp = () => waiter.refuse(signal.reason);
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(waiter);
    });
  }

  /** Hands the place to whoever has waited longest; `false` when nobody waits. It is theirs at once: an abort comes too late. */
  serveNext(place: Place): boolean {
    const [next] = this.#waiting;
    next?.serve(place);
    return next !== undefined;
  }

  /** Sends everyone away with `reason`. */
  refuseAll(reason: unknown): void {
    for (const waiter of [...this.#waiting]) waiter.refuse(reason);
  }
}
