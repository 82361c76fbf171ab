import { DiscedgeError } from '../../domain/errors.ts';
import { commonPrefixLength, type TokenSequence } from '../../domain/token-sequence.ts';
import { BoundedLine } from '../../waiting/bounded-line.ts';
import type { WarmRequest } from '../llm-service.ts';
import { leastValuable, stateValue, type ValuedState } from '../state-value.ts';
import { WarmAccount, type WarmSpan } from '../warming/warm-account.ts';

/** Above the turns that a node lets in at once; it only keeps a defect from piling up promises. */
const WAITING_MAX = 10_000;
/** Shorter prefixes say nothing about a slot. */
const TELLING_PREFIX_TOKENS = 16;
/** One miss can be a restarted server; a second one, with nothing found between, means that slots are not kept. */
const MISSES_MAX = 2;

export interface SlotLease {
  /** The slot to ask for; `undefined`: the server chooses. */
  readonly slot: number | undefined;
  /** What it holds of the session was evaluated ahead of need, so far, and is found by this request if it is there. */
  readonly warm: WarmSpan | undefined;
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

/** A slot in which a session's context is evaluated ahead of need. */
export interface WarmSlot {
  readonly slot: number;
  /** Of the prompt's ids, how many it should hold. */
  readonly heldTokens: number;
  /** It has evaluated these of the prompt. */
  evaluated(span: WarmSpan): void;
  release(): void;
}

interface Slot {
  readonly id: number;
  affinity: string | undefined;
  held: TokenSequence;
  lastUse: number;
  isBusy: boolean;
  /** How often its session has come back. */
  returns: number;
  chance: number | undefined;
  warm: WarmSpan | undefined;
}

/**
 * Which session works in which slot of the server, and who waits.
 *
 * Left to itself the server takes the idle slot with the longest common prefix; sessions with the same system message
 * then push each other out of one slot while others stay empty. So each session is given a slot of its own for as long
 * as there are enough, and then the idle one whose contents are worth least.
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
  readonly #account: WarmAccount;
  #misses = 0;
  #running = 0;
  #uses = 0;
  #closedReason: DiscedgeError | undefined;

  constructor(slots: number, onSlotsNotKept: () => void, account = new WarmAccount()) {
    this.#slots = Array.from({ length: slots }, (_, id) => ({
      id,
      affinity: undefined,
      held: [],
      lastUse: 0,
      isBusy: false,
      returns: 0,
      chance: undefined,
      warm: undefined,
    }));
    this.#account = account;
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

  /**
   * An idle slot to evaluate a session's prompt in ahead of need: its own, an empty one, or the one whose contents are worth
   * least, if they are worth less.
   */
  leaseToWarm({ prompt, affinity, chance }: WarmRequest): WarmSlot | 'no_room' | 'not_kept' {
    if (this.#misses >= MISSES_MAX) return 'not_kept';
    const idle = this.#slots.filter((slot) => !slot.isBusy);
    const own = latest(idle.filter((slot) => slot.affinity === affinity));
    const empty = idle.find((slot) => slot.affinity === undefined && slot.held.length === 0);
    const value = stateValue({ tokens: prompt.length, returns: 0, usedAt: this.#uses, chance }, this.#uses);
    const least = this.#leastWorth(idle);
    const isLess = least !== undefined && stateValue(valued(least), this.#uses) < value;
    const slot = own ?? empty ?? (isLess ? least : undefined);
    if (slot === undefined || this.#running >= this.#slots.length) return 'no_room';
    const heldTokens = own === undefined ? 0 : commonPrefixLength(slot.held, prompt);
    this.#occupy(slot, affinity);
    slot.warm = this.#account.cut(slot.warm, heldTokens);
    Object.assign(slot, { isBusy: true, chance, lastUse: this.#uses });
    this.#running++;
    return {
      slot: slot.id,
      heldTokens,
      evaluated: (span) => {
        const warm = this.#account.evaluated(span, slot.warm);
        if (slot.affinity === affinity) Object.assign(slot, { warm, held: prompt.slice(0, span.to) });
        else this.#account.lost(warm);
      },
      release: () => {
        slot.isBusy = false;
        if (!this.#line.serveNext()) this.#running--;
      },
    };
  }

  /** Sessions are gone: their slots may be anybody's. */
  forget(isMeant: (affinity: string) => boolean): void {
    for (const slot of this.#slots)
      if (slot.affinity !== undefined && isMeant(slot.affinity)) this.#occupy(slot, undefined);
  }

  /**
   * Sessions are gone, and what the server has of them is to go: has each slot erased that has something of theirs, or may have, as nothing
   * is known of it here. None of these is given away meanwhile. Rejects with what `erase` throws, once none is at it any more.
   */
  async eraseAll(isMeant: (affinity: string) => boolean, erase: (slot: number) => Promise<void>): Promise<void> {
    const mayHold = ({ affinity }: Slot) => affinity === undefined || isMeant(affinity);
    const ended = await Promise.allSettled(
      this.#slots.filter(mayHold).map(async (slot) => {
        this.#occupy(slot, undefined);
        const isIdle = !slot.isBusy;
        if (isIdle) slot.isBusy = true;
        try {
          await erase(slot.id);
        } finally {
          if (isIdle) slot.isBusy = false;
          // What was under way there may have ended, and been noted, before.
          if (mayHold(slot)) this.#occupy(slot, undefined);
        }
      }),
    );
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
  }

  /** What of a session was evaluated ahead of need counts for nothing any more; the server drops it with what comes there next. */
  dropWarm(affinity: string): void {
    for (const slot of this.#slots) {
      if (slot.affinity !== affinity || slot.isBusy || slot.warm === undefined) continue;
      if (slot.warm.from === 0) this.#occupy(slot, undefined);
      else {
        this.#account.lost(slot.warm);
        Object.assign(slot, { held: slot.held.slice(0, slot.warm.from), warm: undefined });
      }
    }
  }

  /** Until its session's next request, what a slot holds of it is valued by that chance to be wanted, 0 to 1. */
  expect(affinity: string, chance: number): void {
    for (const slot of this.#slots) if (slot.affinity === affinity) slot.chance = chance;
  }

  /** The server may have been started again, with nothing in its slots. */
  doubt(): void {
    for (const slot of this.#slots) {
      this.#account.lost(slot.warm);
      Object.assign(slot, { held: [], warm: undefined });
    }
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
    const warm = isOwn ? slot.warm : undefined;
    if (slot !== undefined) {
      if (!isOwn) this.#occupy(slot, request.affinity);
      Object.assign(slot, { isBusy: true, warm: undefined, chance: undefined, returns: isOwn ? slot.returns + 1 : 0 });
    }
    let isReleased = false;
    return {
      slot: slot?.id,
      warm,
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

  /** From now on it is this session's: what it held of another is lost. */
  #occupy(slot: Slot, affinity: string | undefined): void {
    if (slot.affinity === affinity && affinity !== undefined) return;
    this.#account.lost(slot.warm);
    Object.assign(slot, { affinity, held: [], returns: 0, chance: undefined, warm: undefined });
  }

  #choose(affinity: string | undefined): Slot | undefined {
    if (affinity === undefined || this.#misses >= MISSES_MAX) return undefined;
    const idle = this.#slots.filter((slot) => !slot.isBusy);
    const own = idle.filter((slot) => slot.affinity === affinity);
    return latest(own) ?? this.#leastWorth(idle);
  }

  /** Of equals the one used longest ago. */
  #leastWorth(slots: readonly Slot[]): Slot | undefined {
    const byUse = [...slots].sort((a, b) => a.lastUse - b.lastUse);
    return leastValuable(byUse.map(valued), this.#uses)?.slot;
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
    if (slot.affinity !== affinity) this.#occupy(slot, slot.isBusy ? slot.affinity : affinity);
    slot.held = slot.isBusy ? [] : held;
    if (slot.isBusy) return;
    slot.lastUse = ++this.#uses;
  }
}

function valued(slot: Slot): ValuedState & { readonly slot: Slot } {
  const { held, returns, lastUse: usedAt, chance } = slot;
  return { slot, tokens: held.length, returns, usedAt, chance };
}

function tooManyWait(waiting: number): DiscedgeError {
  return new DiscedgeError('llm_unavailable', `${waiting} requests are waiting for llama-server already.`);
}

function latest(slots: readonly Slot[]): Slot | undefined {
  return slots.reduce<Slot | undefined>((a, b) => (a === undefined || b.lastUse > a.lastUse ? b : a), undefined);
}
