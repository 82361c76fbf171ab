import type { Clock } from '../../environment/environment.ts';
import type { GenerationRequest, SlotState, WarmRequest } from '../llm-service.ts';
import type { WarmAccount, WarmSpan } from '../warming/warm-account.ts';
import type { StateKeeper } from './kept-state/state-keeper.ts';
import type { PooledSequence } from './pooled-sequence.ts';
import { type Holding, type SequenceLease, SequencePool, type SequenceRequest } from './sequence-pool.ts';

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
}

/**
 * The engine's sequences, each made ready for who comes to it: what it holds of another session goes to a file, where that
 * pays, what it must not find is cleared, and what is kept of its own comes back.
 */
export class SequenceKeeping {
  readonly #pool: SequencePool<PooledSequence>;
  readonly #parts: SequenceKeepingParts;
  /** What is done with sequences beside generations. */
  readonly #underWay = new Set<Promise<void>>();

  constructor(sequences: readonly PooledSequence[], parts: SequenceKeepingParts) {
    this.#pool = new SequencePool(sequences, parts);
    this.#parts = parts;
  }

  states(): readonly SlotState[] {
    return this.#pool.states();
  }

  /** See {@link SequencePool.acquire}. */
  async acquire(request: SequenceRequest, signal: AbortSignal): Promise<Lease> {
    // Nothing is evaluated while a state is saved, and its own sequence may be the one.
    await Promise.all(this.#underWay);
    return this.#pool.acquire(request, signal);
  }

  /**
   * A sequence for what is evaluated ahead of need; `kept` where the state is in a file and comes from there as it is wanted;
   * `undefined` where all that is held is worth more, and not all of it is kept anyway.
   */
  async acquireToWarm(request: WarmRequest): Promise<Lease | 'kept' | undefined> {
    const { keeper } = this.#parts;
    await this.idle();
    const lease = this.#pool.leaseToWarm(request);
    if (lease !== undefined || keeper === undefined) return lease;
    if (keeper.keptTokens(request.affinity, request.prompt) === request.prompt.length) return 'kept';
    const least = this.#pool.leaseLeastWorth();
    if (least === undefined) return undefined;
    const isKept = await this.#save(least, least.found);
    await this.release(least);
    return isKept ? this.#pool.leaseToWarm(request, least.sequence) : undefined;
  }

  /** For a generation that has come, or ahead of one. Never rejects. */
  async prepare(
    lease: Lease,
    { affinity, owner, prompt }: Pick<GenerationRequest, 'affinity' | 'owner' | 'prompt'>,
    { isReturn } = { isReturn: true },
  ): Promise<Prepared> {
    const { keeper, account, sharesOwners, clock } = this.#parts;
    const startedMs = clock.monotonic();
    const { sequence, found } = lease;
    const isOwn = found !== undefined && found.affinity === affinity && found.owner === owner;
    let warm = isOwn ? found.warm : undefined;
    if (!isOwn) await this.#displace(lease);
    if (!isOwn && !(found !== undefined && (sharesOwners || found.owner === owner))) await sequence.clear();
    const wanted = affinity && { affinity, prompt, now: this.#pool.now, isReturn };
    const restored = wanted && (await keeper?.restore(sequence, wanted));
    if (restored) {
      account.lost(warm);
      warm = restored.warm;
      lease.mark({ returns: restored.returns });
    }
    const restoredTokens = restored ? restored.tokens : 0;
    return { restoredTokens, preparedMs: clock.monotonic() - startedMs, warm };
  }

  /** Ends a generation's hold; then, while nothing else is to be done, the state that will go next is saved ahead. */
  giveBack(lease: Lease): void {
    this.#aside(async () => {
      await this.release(lease);
      await this.#parts.keeper?.yieldRoom();
      const next = this.#parts.keeper && this.#pool.leaseNextToGo();
      if (next === undefined) return;
      await this.#save(next, next.found);
      await this.release(next);
    });
  }

  /** Drops what is held and kept of a session. */
  forget(affinity: string): void {
    const { idle, warm } = this.#pool.forget(affinity);
    for (const span of warm) this.#parts.account.lost(span);
    for (const lease of idle) this.#aside(() => this.release(lease));
    this.#parts.keeper?.forget(affinity);
  }

  /** Saves what sequences hold, the most valuable first, where that pays, until `waitMs` are over. */
  async saveAll(waitMs: number): Promise<void> {
    const { clock } = this.#parts;
    const untilMs = clock.monotonic() + waitMs;
    for (const lease of this.#pool.leaseAll()) {
      if (clock.monotonic() < untilMs) await this.#save(lease, lease.found);
      await this.release(lease);
    }
  }

  /** Resolves when nothing is under way beside generations. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async release(lease: Lease): Promise<void> {
    if (lease.isForgotten()) {
      this.#parts.account.lost(lease.warm());
      lease.mark({ warm: undefined });
      await lease.sequence.clear();
    }
    lease.release();
  }

  /** What the sequence holds of another session loses it. */
  async #displace({ sequence, found }: Lease): Promise<void> {
    const isKept = await this.#save({ sequence }, found, found?.warm);
    if (!isKept) this.#parts.account.lost(found?.warm);
  }

  /** Returns whether all that the sequence holds is in a file now, which has what of it is `warm`. */
  async #save({ sequence }: Pick<Lease, 'sequence'>, found: Holding | undefined, warm?: WarmSpan): Promise<boolean> {
    if (found?.affinity === undefined) return false;
    return (await this.#parts.keeper?.save(sequence, { ...found, affinity: found.affinity, warm })) ?? false;
  }

  #aside(task: () => Promise<void>): void {
    const running = task().finally(() => this.#underWay.delete(running));
    this.#underWay.add(running);
  }
}
