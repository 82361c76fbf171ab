import type { Environment } from '../../../environment/environment.ts';
import { Bell } from '../../../waiting/bell.ts';
import type { Delivered } from '../../replication/pull/pull-position.ts';

export interface Delivery extends Delivered {
  readonly bytes: Uint8Array;
  /** Messages that the stream still holds for this node. */
  readonly pending: number;
}

/** What has come from a stream and was not yet taken, in order; ends with the first failure. */
export class Deliveries {
  readonly #environment: Environment;
  readonly #failed = new AbortController();
  readonly #bell: Bell;
  #waiting: Delivery[] = [];
  #handedOut = 0;
  #waitingBytes = 0;
  #handedOutBytes = 0;
  /** Called when what {@link next} returned before has been taken. */
  onTaken = () => {};
  #isNudged = false;
  #cancelSilence = () => {};

  constructor(environment: Environment, signal: AbortSignal) {
    this.#environment = environment;
    this.#bell = new Bell(environment.clock);
    signal.addEventListener('abort', () => this.fail(new Error('connection lost')), { signal: this.#failed.signal });
    if (signal.aborted) this.fail(new Error('connection lost'));
  }

  /** What has come and was not yet taken. */
  get held(): number {
    return this.#waiting.length + this.#handedOut;
  }

  /** Bytes of that. */
  get heldBytes(): number {
    return this.#waitingBytes + this.#handedOutBytes;
  }

  add(delivery: Delivery): void {
    this.#waitingBytes += delivery.bytes.length;
    this.#waiting.push(delivery);
    this.#bell.ring();
  }

  /** Lets {@link next} return although nothing came. */
  nudge(): void {
    this.#isNudged = true;
    this.#bell.ring();
  }

  fail(error: Error): void {
    this.#failed.abort(error);
  }

  /** Fails when nothing is asked again within this time. */
  expectWithin(silenceMs: number): void {
    this.#cancelSilence();
    this.#cancelSilence = this.#environment.clock.after(silenceMs, () => this.fail(new Error('the peer is silent')));
  }

  /** All that waits, none after a nudge; throws the failure once nothing does. What it returned before has been taken then. */
  async next(): Promise<Delivery[]> {
    this.#handedOut = 0;
    this.#handedOutBytes = 0;
    this.onTaken();
    while (this.#waiting.length === 0 && !this.#isNudged) {
      this.#failed.signal.throwIfAborted();
      await this.#bell.wait(this.#failed.signal);
    }
    this.#isNudged = false;
    this.#handedOut = this.#waiting.length;
    this.#handedOutBytes = this.#waitingBytes;
    this.#waitingBytes = 0;
    return this.#waiting.splice(0);
  }

  end(): void {
    this.#cancelSilence();
    this.#failed.abort();
  }
}
