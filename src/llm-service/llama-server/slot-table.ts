import { DiscedgeError } from '../../domain/errors.ts';
import { commonPrefixLength, type TokenSequence } from '../../domain/token-sequence.ts';
import { BoundedLine } from '../../waiting/bounded-line.ts';

/** Above the turns that a node lets in at once; it only keeps a defect from piling up promises. */
const WAITING_MAX = 10_000;
/** Shorter prefixes say nothing about a slot. */
const TELLING_PREFIX_TOKENS = 16;
/** One miss can be a restarted server; a second one, with nothing found between, means that slots are not kept. */
const MISSES_MAX = 2;

export interface SlotLease {
  /** The slot to ask for; `undefined`: the server chooses. */
  readonly slot: number | undefined;
  /** Gives the place back. `outcome` as the server reported it; without one the slot's contents count as unknown. */
  release(outcome?: SlotOutcome): void;
}

export interface SlotOutcome {
  /** The slot that did the work. */
  readonly slot: number;
  /** What its KV cache holds now: prompt and exact reply. */
  readonly held: TokenSequence;
  readonly cachedTokens: number;
}

export interface SlotRequest {
  readonly prompt: TokenSequence;
  /** `undefined`: no preference, and the server chooses. */
  readonly affinity: string | undefined;
}

interface Slot {
  readonly id: number;
  affinity: string | undefined;
  held: TokenSequence;
  lastUse: number;
  isBusy: boolean;
}

/**
 * Which session works in which slot of the server, and who waits.
 *
 * Left to itself the server takes the idle slot with the longest common prefix; sessions with the same system message
 * then push each other out of one slot while others stay empty. So each session is given a slot of its own for as long
 * as there are enough, and then the least recently used idle one.
 *
 * A server that is started without a fixed number of slots saves and clears idle ones, and a request for a certain slot
 * finds it empty. That shows in turns that should have found their prefix; from then on the server chooses.
 *
 * No more requests run at once than the server has slots: it would queue them as well, but there a waiting request keeps
 * an HTTP thread, looks like a silent server, and cannot be given the slot that is right when its time comes.
 */
export class SlotTable {
  readonly #slots: Slot[];
  readonly #line = new BoundedLine(WAITING_MAX, tooManyWait);
  readonly #onSlotsNotKept: () => void;
  #misses = 0;
  #running = 0;
  #uses = 0;
  #closedReason: DiscedgeError | undefined;

  constructor(slots: number, onSlotsNotKept: () => void) {
    this.#slots = Array.from({ length: slots }, (_, id) => ({
      id,
      affinity: undefined,
      held: [],
      lastUse: 0,
      isBusy: false,
    }));
    this.#onSlotsNotKept = onSlotsNotKept;
  }

  /** Waits for its turn, first come first served. Throws the signal's reason, or `llm_unavailable`: closed, or full. */
  async acquire(request: SlotRequest, signal: AbortSignal): Promise<SlotLease> {
    signal.throwIfAborted();
    if (this.#closedReason !== undefined) throw this.#closedReason;
    if (this.#running < this.#slots.length) this.#running++;
    else await this.#line.join(signal);
    if (this.#closedReason !== undefined) throw this.#closedReason;
    return this.#lease(request);
  }

  /** Of the requests that the server was left to place, any idle slots stand for as many. */
  states(): { readonly busy: boolean }[] {
    let unplaced = this.#running - this.#slots.filter(({ isBusy }) => isBusy).length;
    return this.#slots.map(({ isBusy }) => ({ busy: isBusy || unplaced-- > 0 }));
  }

  /** Ends all waiting, and every later request, with `reason`. */
  close(reason: DiscedgeError): void {
    this.#closedReason = reason;
    this.#line.refuseAll(reason);
  }

  #lease(request: SlotRequest): SlotLease {
    const slot = this.#choose(request.affinity);
    const isOwn = slot !== undefined && slot.affinity === request.affinity;
    if (slot !== undefined) {
      slot.isBusy = true;
      slot.affinity = request.affinity;
    }
    let isReleased = false;
    return {
      slot: slot?.id,
      release: (outcome) => {
        if (isReleased) return;
        isReleased = true;
        if (slot !== undefined) {
          slot.isBusy = false;
          if (isOwn && outcome !== undefined) this.#judge(slot, request, outcome);
          slot.held = [];
          slot.lastUse = ++this.#uses;
        }
        if (outcome !== undefined) this.#record(request.affinity, outcome);
        if (!this.#line.serveNext()) this.#running--;
      },
    };
  }

  #choose(affinity: string | undefined): Slot | undefined {
    if (affinity === undefined || this.#misses >= MISSES_MAX) return undefined;
    const idle = this.#slots.filter((slot) => !slot.isBusy);
    const own = idle.filter((slot) => slot.affinity === affinity);
    return own.length > 0 ? latest(own) : earliest(idle);
  }

  /** Did the slot still hold what it was left with? */
  #judge(slot: Slot, { prompt }: SlotRequest, outcome: SlotOutcome): void {
    const expected = Math.min(commonPrefixLength(slot.held, prompt), prompt.length - 1);
    if (expected < TELLING_PREFIX_TOKENS) return;
    if (outcome.cachedTokens >= expected / 2) {
      this.#misses = 0;
      return;
    }
    this.#misses++;
    for (const other of this.#slots) other.held = [];
    if (this.#misses === MISSES_MAX) this.#onSlotsNotKept();
  }

  #record(affinity: string | undefined, { slot: id, held }: SlotOutcome): void {
    const slot = this.#slots[id];
    if (slot === undefined) return;
    // A busy one was wanted by another request, which now finds this one's text there.
    slot.held = slot.isBusy ? [] : held;
    if (slot.isBusy) return;
    slot.affinity = affinity;
    slot.lastUse = ++this.#uses;
  }
}

function tooManyWait(waiting: number): DiscedgeError {
  return new DiscedgeError('llm_unavailable', `${waiting} requests are waiting for llama-server already.`);
}

function earliest(slots: readonly Slot[]): Slot | undefined {
  return slots.reduce<Slot | undefined>((a, b) => (a === undefined || b.lastUse < a.lastUse ? b : a), undefined);
}

function latest(slots: readonly Slot[]): Slot | undefined {
  return slots.reduce<Slot | undefined>((a, b) => (a === undefined || b.lastUse > a.lastUse ? b : a), undefined);
}
