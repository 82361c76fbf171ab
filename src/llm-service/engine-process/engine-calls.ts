import type { DiscedgeError } from '../../domain/errors.ts';
import type { GenerationEvent } from '../llm-service.ts';
import type { AnswerValue, FromEngine, ToEngine } from './messages.ts';
import { receivedError } from './sent-error.ts';

/** Who waits for what comes of a call: any number of events, then its end or an error. */
export interface Call {
  onEvent(event: GenerationEvent): void;
  onEnd(value: AnswerValue): void;
  onError(error: unknown): void;
}

/** The calls under way in one engine process, by number. */
export class EngineCalls {
  readonly #send: (message: ToEngine) => void;
  readonly #underWay = new Map<number, Call>();
  #last = 0;
  #endedWith: DiscedgeError | undefined;
  #onIdle: () => void = () => {};

  constructor(send: (message: ToEngine) => void) {
    this.#send = send;
  }

  /** From then on each call fails. */
  get haveEnded(): boolean {
    return this.#endedWith !== undefined;
  }

  /** Makes a call that is answered at once. */
  ask(message: (call: number) => ToEngine): Promise<AnswerValue> {
    return new Promise((onEnd, onError) => {
      this.open(message, { onEvent: () => {}, onEnd, onError });
    });
  }

  /** Makes a call; `undefined` where it has failed because all have ended. */
  open(message: (call: number) => ToEngine, waiting: Call): number | undefined {
    if (this.#endedWith !== undefined) {
      waiting.onError(this.#endedWith);
      return undefined;
    }
    const call = ++this.#last;
    this.#underWay.set(call, waiting);
    this.#send(message(call));
    return call;
  }

  answered(message: Extract<FromEngine, { readonly call: number }>): void {
    const call = this.#underWay.get(message.call);
    if (call === undefined) return;
    if (message.kind === 'event') {
      call.onEvent(message.event);
      return;
    }
    this.#underWay.delete(message.call);
    if (message.kind === 'answer') call.onEnd(message.value);
    else call.onError(receivedError(message.error));
    if (this.#underWay.size === 0) this.#onIdle();
  }

  /** Resolves when no call is under way. */
  idle(): Promise<void> {
    if (this.#underWay.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Ends every call with `error`, or with that which they were ended with before. */
  end(error: DiscedgeError): void {
    this.#endedWith ??= error;
    const calls = [...this.#underWay.values()];
    this.#underWay.clear();
    for (const call of calls) call.onError(this.#endedWith);
    this.#onIdle();
  }
}
