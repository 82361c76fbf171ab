import { commonPrefixLength, type TokenSequence } from '../../domain/token-sequence.ts';
import type { Clock } from '../../environment/environment.ts';
import { abortable } from '../../waiting/abortable.ts';
import type { GenerationRequest, SlotState, WarmRequest } from '../llm-service.ts';
import type { WarmAccount, WarmSpan } from '../warming/warm-account.ts';
import { SharedPrefixes } from './kept-state/shared-prefixes.ts';
import type { RestoredState, Saving, StateKeeper, WantedState } from './kept-state/state-keeper.ts';
import type { PooledSequence } from './pooled-sequence.ts';
import type { Holding, SequenceRequest } from './sequence-choice.ts';
import { type SequenceLease, SequencePool } from './sequence-pool.ts';

type Lease = SequenceLease<PooledSequence>;

export interface SequenceKeepingParts {
  /** `undefined`: what loses its sequence is dropped. */
  readonly keeper: StateKeeper | undefined;
  readonly account: WarmAccount;
  readonly sharesOwners: boolean;
  readonly clock: Clock;
}

/** What a sequence was made ready with. */
export interface Prepared {
  /** Ids of the prompt that came from a file. */
  readonly restoredTokens: number;
  readonly preparedMs: number;
  /** What of the state is warm. */
  readonly warm: WarmSpan | undefined;
  /** Where the state is worth keeping for sessions that begin so too, once it is evaluated that far. */
  readonly keepAt: KeepAt | undefined;
}

export interface KeepAt {
  readonly tokens: number;
  /** Never rejects. */
  keep(): Promise<void>;
}

const NOT_KEPT: Saving = { written: Promise.resolve(), kept: Promise.resolve(false) };

/**
 * The engine's sequences, each made ready for who comes to it: what it holds of another session goes to a file, where that
 * pays, what it must not find is cleared, and what is kept of its own comes back.
 */
export class SequenceKeeping {
  readonly #pool: SequencePool<PooledSequence>;
  readonly #parts: SequenceKeepingParts;
  /** What is done with sequences beside generations; none rejects. */
  readonly #underWay = new Set<Promise<void>>();
  /** States that have left their sequences and are not in their files yet; none rejects. */
  readonly #leaving = new Set<Promise<boolean>>();

  /** Where users may share state. */
  readonly #shared: SharedPrefixes | undefined;

  constructor(sequences: readonly PooledSequence[], parts: SequenceKeepingParts) {
    this.#pool = new SequencePool(sequences, parts);
    this.#parts = parts;
    const { keeper, sharesOwners } = parts;
    if (keeper !== undefined && sharesOwners) this.#shared = new SharedPrefixes((key) => keeper.forget(key));
  }

  states(): readonly SlotState[] {
    return this.#pool.states();
  }

  /** See {@link SequencePool.acquire}. */
  async acquire(request: SequenceRequest, signal: AbortSignal): Promise<Lease> {
    // Nothing is evaluated while a state is saved, and its own sequence may be the one.
    await abortable(Promise.all(this.#underWay), signal);
    const lease = await this.#pool.acquire(request, signal);
    // The turn that was foreseen has come; the pool knows that already.
    if (request.affinity !== undefined) this.#parts.keeper?.expect(request.affinity, undefined);
    return lease;
  }

  /**
   * A sequence for what is evaluated ahead of need; `kept` where the state is in a file and comes from there as it is wanted;
   * `undefined` where all that is held is worth more, and not all of it is kept anyway, and once `stop` has aborted.
   */
  async acquireToWarm(request: WarmRequest, stop: AbortSignal): Promise<Lease | 'kept' | undefined> {
    const { keeper } = this.#parts;
    await this.idle();
    // Its session may be gone by now: then nothing makes room for it.
    if (stop.aborted) return undefined;
    const lease = this.#pool.leaseToWarm(request);
    if (lease !== undefined || keeper === undefined) return lease;
    if (keeper.keptTokens(request.affinity, request.prompt) === request.prompt.length) return 'kept';
    const least = this.#pool.leaseLeastWorth();
    if (least === undefined) return undefined;
    const isKept = await (await this.#saveAndRelease(least)).kept;
    return isKept && !stop.aborted ? this.#pool.leaseToWarm(request, least.sequence) : undefined;
  }

  /** For a generation that has come, or ahead of one. Rejects where what nobody may find cannot be cleared. */
  async prepare(
    lease: Lease,
    { affinity, owner, prompt }: Pick<GenerationRequest, 'affinity' | 'owner' | 'prompt'>,
    { isReturn } = { isReturn: true },
  ): Promise<Prepared> {
    const { account, sharesOwners, clock } = this.#parts;
    const startedMs = clock.monotonic();
    const { sequence, found } = lease;
    const isOwn = found !== undefined && found.affinity === affinity && found.owner === owner;
    let warm = isOwn ? found.warm : undefined;
    const mayGoOn = isOwn || (found !== undefined && (sharesOwners || found.owner === owner));
    const vacated = isOwn ? Promise.resolve() : this.#displace(lease);
    const restored = affinity && (await this.#restore(sequence, { affinity, prompt, isReturn, mayGoOn, vacated }));
    await vacated;
    if (!mayGoOn && !restored) await sequence.clear();
    const keepAt = affinity ? this.#keepAt(sequence, affinity, prompt) : undefined;
    if (restored) {
      account.lost(warm);
      warm = restored.warm;
      if (!restored.isShared) lease.mark({ returns: restored.returns });
    }
    const restoredTokens = restored ? restored.tokens : 0;
    return { restoredTokens, preparedMs: clock.monotonic() - startedMs, warm, keepAt };
  }

  /** Ends a generation's hold; then, while nothing else is to be done, the state that will go next is saved ahead. */
  giveBack(lease: Lease): void {
    void this.#aside(async () => {
      await this.release(lease);
      await this.#parts.keeper?.yieldRoom();
      const next = this.#parts.keeper && this.#pool.leaseNextToGo();
      if (next !== undefined) await this.#saveAndRelease(next);
    });
  }

  /** Drops what is held and kept of a session. */
  forget(affinity: string): void {
    this.#forgetHeld((other) => other === affinity).catch(() => undefined);
    void this.#parts.keeper?.forget(affinity);
    void this.#shared?.forget(affinity);
  }

  /** See {@link Warming.forgetAll}. */
  async forgetAll(part: string): Promise<void> {
    const isMeant = (affinity: string) => affinity.includes(part);
    await this.#forgetHeld(isMeant);
    await this.#shared?.forgetAll(isMeant);
    await this.#parts.keeper?.forgetAll(isMeant);
  }

  /** Resolves when no sequence holds anything of these sessions any more, and rejects where one may. */
  async #forgetHeld(isMeant: (affinity: string) => boolean): Promise<void> {
    const { idle, warm, ended } = this.#pool.forget(isMeant);
    for (const span of warm) this.#parts.account.lost(span);
    const clear = (leases: readonly Lease[]) =>
      Promise.all(leases.map((lease) => this.#aside(() => this.#releaseCleared(lease))));
    await Promise.all([ended, clear(idle)]);
    // Those in use were cleared as they came back, or could not be.
    await clear(this.#pool.forget(isMeant).idle);
  }

  /** Drops what of a session was evaluated ahead of need, and keeps what its turns left. */
  dropWarm(affinity: string): void {
    for (const lease of this.#pool.leaseWarm(affinity)) void this.#aside(() => this.#cutWarm(lease));
    this.#parts.keeper?.dropWarm(affinity);
  }

  /** What is held and kept of a session will be wanted with that chance, until its next generation. */
  expect(affinity: string, chance: number): void {
    this.#pool.expect(affinity, chance);
    this.#parts.keeper?.expect(affinity, chance);
  }

  /** Saves what sequences hold, the most valuable first, where that pays, until `waitMs` are over. */
  async saveAll(waitMs: number): Promise<void> {
    const { clock } = this.#parts;
    const untilMs = clock.monotonic() + waitMs;
    for (const lease of this.#pool.leaseAll()) {
      if (clock.monotonic() < untilMs) await this.#save(lease, lease.found).kept;
      await this.release(lease);
    }
  }

  /** Resolves when nothing is under way beside generations. */
  async idle(): Promise<void> {
    while (this.#underWay.size + this.#leaving.size > 0) await Promise.all([...this.#underWay, ...this.#leaving]);
  }

  /** Never rejects: what cannot be cleared is still nobody's, and whoever forgets it or comes to it tries again. */
  async release(lease: Lease): Promise<void> {
    await this.#releaseCleared(lease).catch(() => undefined);
  }

  /** What is held of a session that was forgotten is gone then, or it rejects. */
  async #releaseCleared(lease: Lease): Promise<void> {
    try {
      if (!lease.isForgotten()) return;
      this.#parts.account.lost(lease.warm());
      lease.mark({ warm: undefined });
      await lease.sequence.clear();
    } finally {
      lease.release();
    }
  }

  /** Its session's own state, or what it begins with as others do, whichever spares more. */
  async #restore(
    sequence: PooledSequence,
    wanted: Omit<WantedState, 'now'>,
  ): Promise<(RestoredState & { readonly isShared: boolean }) | undefined> {
    const { keeper } = this.#parts;
    if (keeper === undefined) return undefined;
    const { now } = this.#pool;
    const own = await keeper.restore(sequence, { ...wanted, now });
    const shared = own === undefined ? this.#shared?.find(wanted.affinity, wanted.prompt) : undefined;
    if (shared === undefined) return own && { ...own, isShared: false };
    const restored = await keeper.restore(sequence, { ...wanted, affinity: shared.key, now, isReturn: true });
    return restored && { ...restored, isShared: true };
  }

  #keepAt(sequence: PooledSequence, affinity: string, prompt: TokenSequence): KeepAt | undefined {
    const shared = this.#shared?.observe(affinity, prompt);
    if (shared === undefined || commonPrefixLength(sequence.tokens(), prompt) >= shared.tokens) return undefined;
    const held = { affinity: shared.key, returns: 1, usedAt: this.#pool.now };
    const keep = async () => {
      await shared.settled((await this.#parts.keeper?.save(sequence, held).kept) ?? false);
    };
    return { tokens: shared.tokens, keep };
  }

  /** A state that cannot be cut back stays where turns have left something of it. */
  async #cutWarm(lease: Lease): Promise<void> {
    const warm = lease.warm();
    this.#parts.account.lost(warm);
    lease.mark({ warm: undefined });
    try {
      if (warm?.from === 0) await lease.sequence.clear();
      else if (warm !== undefined && lease.sequence.cutsBack) await lease.sequence.cutTo(warm.from);
    } finally {
      await this.release(lease);
    }
  }

  /** What the sequence holds of another session loses it. */
  async #displace({ sequence, found }: Lease): Promise<void> {
    const { written, kept } = this.#save({ sequence }, found, found?.warm);
    void kept.then((isKept) => {
      if (!isKept) this.#parts.account.lost(found?.warm);
    });
    await written;
  }

  /** The sequence is free before its state is in the file. */
  async #saveAndRelease(lease: Lease): Promise<Saving> {
    const saving = this.#save(lease, lease.found);
    await saving.written;
    await this.release(lease);
    return saving;
  }

  /** Puts all that the sequence holds into a file, which has what of it is `warm`. */
  #save({ sequence }: Pick<Lease, 'sequence'>, found: Holding | undefined, warm?: WarmSpan): Saving {
    const { keeper } = this.#parts;
    if (keeper === undefined || found?.affinity === undefined) return NOT_KEPT;
    const held = { ...found, affinity: found.affinity, warm, isAhead: found.warm?.from === 0 };
    const saving = keeper.save(sequence, held);
    this.#leaving.add(saving.kept);
    void saving.kept.then(() => this.#leaving.delete(saving.kept));
    return saving;
  }

  /** Nobody has to hear how it ends. */
  #aside(task: () => Promise<void>): Promise<void> {
    const running = task();
    const over = running.catch(() => undefined).finally(() => this.#underWay.delete(over));
    this.#underWay.add(over);
    return running;
  }
}
