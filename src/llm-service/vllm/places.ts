import { DiscedgeError } from '../../domain/errors.ts';
import { BoundedLine } from '../../waiting/bounded-line.ts';
import type { SlotState } from '../llm-service.ts';

/** Above the turns that a node lets in at once; it only keeps a defect from piling up promises. */
const WAITING_MAX = 10_000;

/**
 * How many generations, or requests to its tokenizer, this node has at the server at once. vLLM has no slots: it batches what comes and
 * queues the rest, but there a request that waits looks like a silent server.
 */
export class Places {
  readonly #busy: boolean[];
  readonly #line = new BoundedLine<number>(WAITING_MAX, tooManyWait);
  #closedReason: DiscedgeError | undefined;

  constructor(count: number) {
    this.#busy = Array.from({ length: count }, () => false);
  }

  /** Waits for its turn, first come first served. Throws the signal's reason, or `llm_unavailable`: closed, or full. */
  async take(signal: AbortSignal): Promise<{ readonly place: number; giveBack(): void }> {
    signal.throwIfAborted();
    if (this.#closedReason !== undefined) throw this.#closedReason;
    const free = this.#busy.indexOf(false);
    if (free !== -1) this.#busy[free] = true;
    const place = free === -1 ? await this.#line.join(signal) : free;
    const giveBack = () => {
      if (!this.#line.serveNext(place)) this.#busy[place] = false;
    };
    return { place, giveBack };
  }

  states(): readonly SlotState[] {
    return this.#busy.map((busy) => ({ busy }));
  }

  close(reason: DiscedgeError): void {
    this.#closedReason = reason;
    this.#line.refuseAll(reason);
  }
}

function tooManyWait(waiting: number): DiscedgeError {
  return new DiscedgeError('llm_unavailable', `${waiting} requests are waiting for vLLM already.`);
}
