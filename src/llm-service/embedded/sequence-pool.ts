import { DiscedgeError } from '../../domain/errors.ts';
import { commonPrefixLength } from '../../domain/token-sequence.ts';
import { BoundedLine } from '../../waiting/bounded-line.ts';
import { stateValue } from '../state-value.ts';
import type { WarmSpan } from '../warming/warm-account.ts';
import {
  chooseSlot,
  type Holding,
  type KvSequence,
  leastWorth,
  type SequencePoolOptions,
  type SequenceRequest,
  slotValue,
} from './sequence-choice.ts';

/** A generation that waits holds its prompt (up to megabytes); beyond this many the node says so instead. */
export const WAITING_GENERATIONS_MAX = 256;

export interface SequenceLease<S> {
  readonly sequence: S;
  /** What the sequence holds; `undefined` for nothing, or what nobody may find any more. */
  readonly found: Holding | undefined;
  /** What is known of what the sequence holds from now on. */
  mark(known: { readonly returns?: number; readonly warm?: WarmSpan | undefined }): void;
  /** What of that is warm. */
  warm(): WarmSpan | undefined;
  /** Whether the session has been forgotten meanwhile. */
  isForgotten(): boolean;
  release(): void;
}

interface Slot<S> extends Holding {
  readonly sequence: S;
  affinity: string | undefined;
  owner: string | undefined;
  returns: number;
  usedAt: number;
  chance: number | undefined;
  warm: WarmSpan | undefined;
  busy: boolean;
  /** Its session is gone: what it holds is nobody's. */
  forgotten: boolean;
  /** Of those who wait for its release. */
  readonly released: Set<() => void>;
}

/** What is held of sessions that are forgotten. */
export interface ForgottenHoldings<S> {
  /** Leases of the idle sequences that held something of it. */
  readonly idle: readonly SequenceLease<S>[];
  /** What of it was warm, and is not any more. */
  readonly warm: readonly WarmSpan[];
  /** Resolves when the sequences that are in use with it have been released. */
  readonly ended: Promise<void>;
}

/** Hands each generation the idle sequence that spares it most; those that find none wait in the order they came. */
export class SequencePool<S extends KvSequence> {
  readonly #slots: Slot<S>[];
  readonly #options: SequencePoolOptions;
  readonly #line = new BoundedLine<Slot<S>>(WAITING_GENERATIONS_MAX, tooManyWait);
  #waiting = 0;
  #releases = 0;
  #evictedAt: number | undefined;

  constructor(sequences: readonly S[], options: SequencePoolOptions = { sharesOwners: false }) {
    this.#options = options;
    const none = { affinity: undefined, owner: undefined, returns: 0, usedAt: 0, chance: undefined, warm: undefined };
    this.#slots = sequences.map((sequence) => ({
      ...none,
      ...{ busy: false, forgotten: false, released: new Set(), sequence },
    }));
  }

  /** Counts generations: what recency is measured in. */
  get now(): number {
    return this.#releases;
  }

  /**
   * Throws `llm_unavailable` when {@link WAITING_GENERATIONS_MAX} already wait, and `signal.reason` when that is aborted
   * before there is a sequence.
   */
  async acquire(request: SequenceRequest, signal: AbortSignal): Promise<SequenceLease<S>> {
    signal.throwIfAborted();
    const idle = this.#slots.filter((slot) => !slot.busy);
    if (idle.length > 0) return this.#lease(chooseSlot(idle, request, { ...this.#options, now: this.now }), request);
    this.#waiting++;
    try {
      return this.#lease(await this.#line.join(signal), request);
    } finally {
      this.#waiting--;
    }
  }

  /**
   * The idle sequence whose state will be given up next, while nothing else is to be done and sessions are more than
   * sequences, as they lately were. Its state stays what and whose it is.
   */
  leaseNextToGo(): SequenceLease<S> | undefined {
    if (this.#waiting > 0 || this.#slots.some(({ busy }) => busy)) return undefined;
    if (this.#evictedAt === undefined || this.now - this.#evictedAt > CALM_ROUNDS * this.#slots.length)
      return undefined;
    return this.leaseLeastWorth();
  }

  /** The idle sequence whose state is worth least. Its state stays what and whose it is. */
  leaseLeastWorth(): SequenceLease<S> | undefined {
    const idle = this.#slots.filter((slot) => !slot.busy && slot.sequence.tokens().length > 0);
    const slot = leastWorth(idle, this.now);
    return slot && this.#hold(slot);
  }

  /**
   * The idle sequence to evaluate a session's prompt in ahead of need: its own, an empty one, or the one whose state is worth
   * least, if that is less, or is `spared`: lost to nobody. `undefined` where all that is held is worth more.
   */
  leaseToWarm(request: SequenceRequest & { readonly chance: number }, spared?: S): SequenceLease<S> | undefined {
    const { prompt, affinity, chance } = request;
    const idle = this.#slots.filter((slot) => !slot.busy);
    const own = idle.filter((slot) => !slot.forgotten && slot.affinity === affinity);
    const value = stateValue({ tokens: prompt.length, returns: 0, usedAt: this.now, chance }, this.now);
    const free =
      bestOf(own, (one) => commonPrefixLength(one.sequence.tokens(), prompt)) ??
      idle.find(({ sequence, forgotten }) => forgotten || sequence.tokens().length === 0) ??
      idle.find(({ sequence }) => sequence === spared);
    if (free !== undefined) return this.#take(free, request);
    const least = leastWorth(idle, this.now);
    return least !== undefined && slotValue(least, this.now) < value ? this.#take(least, request) : undefined;
  }

  /** Those that hold something, the most valuable first; only while none is in use. */
  *leaseAll(): Generator<SequenceLease<S>> {
    const valued = this.#slots.filter((slot) => !slot.busy && slot.sequence.tokens().length > 0);
    valued.sort((a, b) => slotValue(b, this.now) - slotValue(a, this.now));
    for (const slot of valued) yield this.#hold(slot);
  }

  /** From now on nobody finds what is held of these sessions. */
  forget(isMeant: (affinity: string) => boolean): ForgottenHoldings<S> {
    const own = this.#slots.filter(({ affinity }) => affinity !== undefined && isMeant(affinity));
    const warm = own.flatMap((slot) => slot.warm ?? []);
    for (const slot of own) Object.assign(slot, { forgotten: true, warm: undefined });
    const ended = own
      .filter(({ busy }) => busy)
      .map(({ released }) => new Promise<void>((resolve) => released.add(resolve)));
    const idle = own.filter(({ busy }) => !busy).map((slot) => this.#hold(slot));
    return { idle, warm, ended: Promise.all(ended).then(() => {}) };
  }

  /** The idle sequences that hold something of a session that is warm. It stays what and whose it is. */
  leaseWarm(affinity: string): SequenceLease<S>[] {
    const own = this.#slots.filter((slot) => !slot.busy && slot.affinity === affinity && slot.warm !== undefined);
    return own.map((slot) => this.#hold(slot));
  }

  /** Until its session is next generated for, what is held of it is valued by that chance to be wanted, 0 to 1. */
  expect(affinity: string, chance: number): void {
    for (const slot of this.#slots) if (slot.affinity === affinity) slot.chance = chance;
  }

  /** In the order of the sequences. */
  states(): { readonly busy: boolean }[] {
    return this.#slots.map(({ busy }) => ({ busy }));
  }

  #lease(slot: Slot<S>, { affinity, owner }: SequenceRequest): SequenceLease<S> {
    const lease = this.#take(slot, { affinity, owner }, () => {
      slot.usedAt = ++this.#releases;
    });
    const isOwn = affinity !== undefined && lease.found?.affinity === affinity;
    Object.assign(slot, { returns: isOwn ? slot.returns + 1 : 0, warm: undefined });
    return lease;
  }

  /** For what is evaluated, for a generation or ahead of one. */
  #take(
    slot: Slot<S>,
    request: Omit<SequenceRequest, 'prompt'> & { readonly chance?: number },
    used = () => {},
  ): SequenceLease<S> {
    const { affinity, owner, chance } = request;
    const found = this.#holding(slot);
    const isOwn = found !== undefined && affinity !== undefined && found.affinity === affinity;
    if (found?.affinity !== undefined && !isOwn) this.#evictedAt = this.now;
    const warm = isOwn ? slot.warm : undefined;
    const returns = isOwn ? slot.returns : 0;
    Object.assign(slot, { affinity, owner, returns, chance, warm, usedAt: this.now, forgotten: false });
    return { ...this.#hold(slot, used), found };
  }

  #hold(slot: Slot<S>, used = () => {}): SequenceLease<S> {
    slot.busy = true;
    let held = true;
    return {
      sequence: slot.sequence,
      found: this.#holding(slot),
      mark: (known) => void Object.assign(slot, known),
      warm: () => slot.warm,
      isForgotten: () => slot.forgotten,
      release: () => {
        if (!held) return;
        held = false;
        used();
        for (const resolve of slot.released) resolve();
        slot.released.clear();
        slot.busy = this.#line.serveNext(slot);
      },
    };
  }

  #holding({ sequence, forgotten, affinity, owner, returns, usedAt, chance, warm }: Slot<S>): Holding | undefined {
    if (forgotten || sequence.tokens().length === 0) return undefined;
    return { affinity, owner, returns, usedAt, chance, warm };
  }
}

/** Rounds of all sequences without an eviction after which sessions are no more than sequences again. */
const CALM_ROUNDS = 4;

function tooManyWait(waiting: number): DiscedgeError {
  const message = `${waiting} generations already wait for the embedded LLM Service; try again later`;
  return new DiscedgeError('llm_unavailable', message);
}

function bestOf<T>(all: readonly T[], worth: (one: T) => number): T | undefined {
  return [...all].sort((a, b) => worth(b) - worth(a))[0];
}
