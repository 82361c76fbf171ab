import type { Clock } from '../../environment/environment.ts';
import type { GenerationRequest, GenerationUsage, SlotState } from '../llm-service.ts';
import type { StateKeeper } from './kept-state/state-keeper.ts';
import type { PooledSequence } from './pooled-sequence.ts';
import { type Holding, type SequenceLease, SequencePool, type SequenceRequest } from './sequence-pool.ts';

type Lease = SequenceLease<PooledSequence>;

export interface SequenceKeepingParts {
  /** `undefined`: what loses its sequence is dropped. */
  readonly keeper: StateKeeper | undefined;
  readonly sharesOwners: boolean;
  readonly clock: Clock;
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
  acquire(request: SequenceRequest, signal: AbortSignal): Promise<Lease> {
    return this.#pool.acquire(request, signal);
  }

  /** Returns how many of the prompt's ids came from a file, and how long it all took. */
  async prepare(
    lease: Lease,
    { affinity, owner, prompt }: GenerationRequest,
  ): Promise<{ readonly restoredTokens: number; readonly preparedMs: number }> {
    const { keeper, sharesOwners, clock } = this.#parts;
    const startedMs = clock.monotonic();
    const { sequence, found } = lease;
    const isOwn = found !== undefined && found.affinity === affinity && found.owner === owner;
    if (!isOwn) await this.#save(sequence, found);
    if (!isOwn && !(found !== undefined && (sharesOwners || found.owner === owner))) await sequence.clear();
    const restored = affinity && (await keeper?.restore(sequence, { affinity, prompt, now: this.#pool.now }));
    if (restored) lease.cameBack(restored.returns);
    return { restoredTokens: restored ? restored.tokens : 0, preparedMs: clock.monotonic() - startedMs };
  }

  /** Told of every reply's end, to know what evaluating takes. */
  evaluated({ evaluatedTokens, promptMs }: GenerationUsage, preparedMs: number): void {
    this.#parts.keeper?.evaluated(evaluatedTokens, promptMs - preparedMs);
  }

  /** Ends a generation's hold; then, while nothing else is to be done, the state that will go next is saved ahead. */
  giveBack(lease: Lease): void {
    this.#aside(async () => {
      await this.#release(lease);
      await this.#parts.keeper?.yieldRoom();
      const next = this.#parts.keeper && this.#pool.leaseNextToGo();
      if (next === undefined) return;
      await this.#save(next.sequence, next.found);
      await this.#release(next);
    });
  }

  /** Drops what is held and kept of a session. */
  forget(affinity: string): void {
    for (const lease of this.#pool.forget(affinity)) this.#aside(() => this.#release(lease));
    this.#parts.keeper?.forget(affinity);
  }

  /** Resolves when nothing is under way beside generations. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #release(lease: Lease): Promise<void> {
    if (lease.isForgotten()) await lease.sequence.clear();
    lease.release();
  }

  async #save(sequence: PooledSequence, found: Holding | undefined): Promise<void> {
    if (found?.affinity === undefined) return;
    await this.#parts.keeper?.save(sequence, { ...found, affinity: found.affinity });
  }

  #aside(task: () => Promise<void>): void {
    const running = task().finally(() => this.#underWay.delete(running));
    this.#underWay.add(running);
  }
}
