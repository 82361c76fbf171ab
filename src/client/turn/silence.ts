import { DiscedgeClientError } from '../errors.ts';
import { followSignal } from '../follow-signal.ts';

/**
 * Ends a request to a node that has said nothing for too long: {@link signal} is for the request, and is aborted by the caller's
 * own signal too.
 */
export class Silence {
  readonly #controller = new AbortController();
  readonly #unfollow: () => void;
  readonly #limitMs: number;
  readonly #node: string;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** 0 for `limitMs`: it may be silent for ever. */
  constructor(node: string, limitMs: number, signal: AbortSignal | undefined) {
    this.#node = node;
    this.#limitMs = limitMs;
    this.#unfollow = followSignal(signal, this.#controller);
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The node has said something. */
  heard(): void {
    clearTimeout(this.#timer);
    if (this.#limitMs > 0) this.#timer = setTimeout(() => this.#controller.abort(this.#error()), this.#limitMs);
  }

  /** To be called in the end. */
  end(): void {
    clearTimeout(this.#timer);
    this.#unfollow();
  }

  #error(): DiscedgeClientError {
    const details = { code: 'node_silent', retry: true, node: this.#node };
    return new DiscedgeClientError(`${this.#node} has said nothing for ${this.#limitMs} ms`, details);
  }
}
