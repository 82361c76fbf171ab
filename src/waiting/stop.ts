/** What ends work or a wait early. */
export interface StopSign {
  /** For whoever listens. Made when it is asked for: most work is over before anybody has to. */
  readonly signal: AbortSignal;
  /** Throws the reason once the sign is given. */
  throwIfAborted(): void;
}

/** An AbortController that costs nothing until its signal is asked for. */
export class Stop implements StopSign {
  #controller: AbortController | undefined;
  #given: { readonly reason: unknown } | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#given !== undefined) this.#controller.abort(this.#given.reason);
    }
    return this.#controller.signal;
  }

  throwIfAborted(): void {
    if (this.#given !== undefined) throw this.#given.reason;
  }

  /** The first reason counts. */
  abort(reason: unknown): void {
    this.#given ??= { reason };
    this.#controller?.abort(reason);
  }
}

/** A signal that is there already, as a sign. */
export function stopSignOf(signal: AbortSignal): StopSign {
  return { signal, throwIfAborted: () => signal.throwIfAborted() };
}
