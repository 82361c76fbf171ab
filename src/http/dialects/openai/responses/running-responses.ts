import type { PartDelta } from '../../../../context-manager/turn/reply/reply-parts.ts';
import { DiscedgeError } from '../../../../domain/errors.ts';
import type { AnswerId } from '../../../../domain/record/answer-id.ts';
import { abortable } from '../../../../waiting/abortable.ts';
import type { ResponseState } from './response-view.ts';

/** Responses that ended without a record, kept so that who asks for one is told how. */
const ENDED_MAX = 1_000;

/** A response while this node works on it. */
export class RunningResponse {
  readonly background: boolean;
  /** Resolves with what it is at last. */
  readonly ended: Promise<ResponseState>;
  readonly #stop = new AbortController();
  readonly #deltas: PartDelta[] = [];
  readonly #readers = new Set<(delta: PartDelta) => void>();
  #resolve: (state: ResponseState) => void = () => {};
  #state: ResponseState;

  constructor(state: ResponseState, { background }: { readonly background: boolean }) {
    this.#state = state;
    this.background = background;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get state(): ResponseState {
    return this.#state;
  }

  /** Aborts when it is to be stopped. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  generates(): void {
    if (this.#state.status === 'queued') this.#state = { ...this.#state, status: 'in_progress' };
  }

  add(delta: PartDelta): void {
    this.#deltas.push(delta);
    for (const read of this.#readers) read(delta);
  }

  endAs(state: ResponseState): void {
    this.#state = state;
    this.#readers.clear();
    this.#resolve(state);
  }

  cancel(reason: DiscedgeError): void {
    this.#stop.abort(reason);
  }

  /** Reads it from its beginning on, until it has ended. Throws `signal.reason` on abort. */
  async follow(read: (delta: PartDelta) => void, signal: AbortSignal): Promise<ResponseState> {
    for (const delta of this.#deltas) read(delta);
    this.#readers.add(read);
    try {
      return await abortable(this.ended, signal);
    } finally {
      this.#readers.delete(read);
    }
  }
}

/** The responses that this node works on, and those that came to nothing. */
export class RunningResponses {
  readonly #running = new Map<AnswerId, RunningResponse>();
  readonly #ended = new Map<AnswerId, ResponseState>();

  add(id: AnswerId, response: RunningResponse): void {
    this.#running.set(id, response);
  }

  find(id: AnswerId): RunningResponse | undefined {
    return this.#running.get(id);
  }

  /** One that ended without a record. */
  endedWithout(id: AnswerId): ResponseState | undefined {
    return this.#ended.get(id);
  }

  /** It is stored. */
  stored(id: AnswerId, state: ResponseState): void {
    this.#running.get(id)?.endAs(state);
    this.#running.delete(id);
  }

  /** Nothing of it is stored. */
  failed(id: AnswerId, error: unknown): void {
    const running = this.#running.get(id);
    if (running === undefined) return;
    const state = failedState(running.state, error);
    this.#running.delete(id);
    running.endAs(state);
    if (!running.background) return;
    this.#ended.set(id, state);
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= ENDED_MAX) return;
      this.#ended.delete(oldest);
    }
  }

  /** Its owner has deleted it. */
  forget(id: AnswerId): void {
    this.#ended.delete(id);
  }
}

export function failedState(state: ResponseState, error: unknown): ResponseState {
  if (error instanceof DiscedgeError && error.code === 'turn_cancelled') return { ...state, status: 'cancelled' };
  const { code, message } =
    error instanceof DiscedgeError ? error : { code: 'internal_error', message: "internal error; see the node's log" };
  return { ...state, status: 'failed', error: { code, message } };
}
