import type { RecordSource } from '../../context-store/context-store.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import { type KeygroupId, type SessionKey, type SessionKeyText, sessionKeyText } from '../../domain/identifiers.ts';
import { nextNodesOf } from '../../domain/record/next-nodes.ts';
import { summaryPlaceOf } from '../../domain/record/summary.ts';
import { sessionKeyOf, type TurnRecord } from '../../domain/record/turn-record.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { WarmingPolicyName } from '../../domain/warming-policies.ts';
import type { Clock, Logger } from '../../environment/environment.ts';
import type { GenerationUsage, Warming, WarmingStatus, WarmOutcome } from '../../llm-service/llm-service.ts';
import { pause } from '../../waiting/pause.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { SessionRecords } from '../sessions/session-records.ts';
import type { LearnedMovement } from './learned-movement.ts';
import type { WarmingBudget } from './warming-budget.ts';
import type { WarmingPlan } from './warming-plan.ts';
import type { Expected } from './warming-queue.ts';

export interface WarmerParts {
  readonly warming: Warming;
  readonly keygroup: KeygroupId;
  readonly records: SessionRecords;
  readonly policy: WarmingPolicyName;
  readonly plan: WarmingPlan;
  readonly budget: WarmingBudget;
  /** The ids that the next turn's prompt begins with; `undefined`: none that could be warmed. */
  readonly nextPrompt: (session: CachedSession) => Promise<TokenSequence | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How a warming ended: as the LLM Service says, or before it was asked. `unfit`: no session, or no context that the window holds. */
export type WarmingEnd = WarmOutcome['end'] | 'unfit' | 'no_budget';

/** What a turn found that came from another node. `kept`: from an earlier turn here. */
export type HandoverFound = 'warm' | 'kept' | 'cold';

/** Counts since the node's start, of nobody in particular. */
export interface WarmerStatus extends WarmingStatus {
  readonly policy: WarmingPolicyName;
  readonly queued: number;
  /** Sessions that were given up for newer ones before they were warmed. */
  readonly dropped: number;
  readonly ends: Readonly<Partial<Record<WarmingEnd, number>>>;
  readonly handovers: Readonly<Record<HandoverFound, number>>;
  /** Of KV state that waits to be used; `undefined` where the LLM Service does not know. */
  readonly heldBytes: number | undefined;
}

/** How long peers are asked for a session whose client says that it comes. */
const FETCH_WAIT_MS = 1_000;

/**
 * Has the LLM Service evaluate the contexts of sessions that are expected here, one after the other, the one heard of last
 * first. Whatever goes wrong leaves a session cold and is over: its next record is another chance.
 */
export class Warmer {
  readonly #parts: WarmerParts;
  readonly #ends: Partial<Record<WarmingEnd, number>> = {};
  readonly #handovers: Record<HandoverFound, number> = { warm: 0, kept: 0, cold: 0 };
  readonly #stopping = new AbortController();
  readonly #endings: ReadonlyArray<() => void>;
  /** The session that is being warmed. */
  #current: { readonly keyText: SessionKeyText; readonly asking: AbortController } | undefined;
  #isWorking = false;

  constructor(parts: WarmerParts) {
    this.#parts = parts;
    this.#endings = [
      parts.records.onRecord(({ record }, from) => {
        if (record.kind !== 'turn' || record.keygroup !== parts.keygroup) return;
        if (summaryPlaceOf(record) === undefined) this.#seen(record, from);
      }),
      parts.records.onRemoved((key) => {
        if (key.keygroup === parts.keygroup) this.#removed(sessionKeyText(key));
      }),
    ];
  }

  get status(): WarmerStatus {
    const { policy, plan, warming } = this.#parts;
    const status = warming.status();
    const { bytesPerToken } = warming.speed() ?? {};
    return {
      ...status,
      policy,
      queued: plan.queued,
      dropped: plan.dropped,
      ends: { ...this.#ends },
      handovers: { ...this.#handovers },
      heldBytes: bytesPerToken === undefined ? undefined : Math.round(bytesPerToken * status.heldTokens),
    };
  }

  /** What has been learned of where turns are taken. */
  learned(): LearnedMovement | undefined {
    return this.#parts.plan.learned();
  }

  /** The session's client says that its next turn comes here. Cheap, however often it is said. */
  coming(key: SessionKey): void {
    if (this.#stopping.signal.aborted) return;
    void this.#comes(key).catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) this.#failed(error);
    });
  }

  /** A turn of the session was answered here; `hasMoved`: the one before it was answered at another node. */
  answered(key: SessionKey, usage: GenerationUsage, { hasMoved }: { readonly hasMoved: boolean }): void {
    this.#parts.budget.release(sessionKeyText(key));
    if (!hasMoved) return;
    const { warmedTokens = 0, cachedTokens, evaluatedTokens } = usage;
    const found = warmedTokens > 0 ? 'warm' : cachedTokens > evaluatedTokens ? 'kept' : 'cold';
    this.#handovers[found]++;
  }

  /** Warms nothing more; what is under way ends. */
  stop(): void {
    for (const end of this.#endings) end();
    this.#stopping.abort();
    this.#current?.asking.abort();
  }

  #seen(record: TurnRecord, from: RecordSource): void {
    const key = sessionKeyOf(record);
    const { turn, origin: node, writtenAtMs: atMs } = record;
    const { plan, warming } = this.#parts;
    const chance = plan.seen(key, { turn, node, atMs, nextNodes: nextNodesOf(record) }, from);
    // What is held of it, from a turn or warmed before, is worth what is expected of it now.
    if (chance !== undefined) warming.expect(sessionKeyText(key), chance);
    // What is done of it stays, and the rest is asked for anew, if it still is expected.
    this.#cancel(sessionKeyText(key));
    this.#wake();
  }

  #removed(keyText: SessionKeyText): void {
    this.#parts.plan.removed(keyText);
    this.#parts.budget.release(keyText);
    this.#cancel(keyText);
    this.#parts.warming.forget(keyText);
  }

  #cancel(keyText: SessionKeyText): void {
    if (this.#current?.keyText === keyText) this.#current.asking.abort();
  }

  #wake(): void {
    if (this.#isWorking || this.#parts.plan.queued === 0) return;
    this.#isWorking = true;
    void this.#work().finally(() => {
      this.#isWorking = false;
    });
  }

  async #work(): Promise<void> {
    const { plan, budget, clock } = this.#parts;
    const { signal } = this.#stopping;
    while (plan.queued > 0) {
      const waitMs = budget.waitMs(clock.monotonic());
      if (waitMs > 0) await pause(clock, waitMs, signal);
      // Chosen after the wait: what came meanwhile goes first.
      const expected = signal.aborted ? undefined : plan.take();
      if (expected === undefined) return;
      const end = await this.#warm(expected);
      this.#ends[end] = (this.#ends[end] ?? 0) + 1;
    }
  }

  async #warm({ key, chance }: Expected): Promise<WarmingEnd> {
    const { warming, budget, clock, records, nextPrompt } = this.#parts;
    const keyText = sessionKeyText(key);
    const asking = new AbortController();
    this.#current = { keyText, asking };
    try {
      const prompt = await nextPrompt(await records.load(key));
      if (asking.signal.aborted) return 'stopped';
      if (prompt === undefined || prompt.length === 0) return 'unfit';
      if (!budget.allows(prompt.length, warming.speed()?.bytesPerToken)) return 'no_budget';
      const request = { prompt, affinity: keyText, owner: key.userId, chance };
      const { end, evaluatedTokens } = await warming.warm(request, asking.signal);
      const spent = { nowMs: clock.monotonic(), bytesPerToken: warming.speed()?.bytesPerToken };
      if (end === 'forgotten' || end === 'taken') return end;
      for (const other of budget.spend(keyText, evaluatedTokens, spent)) warming.dropWarm(other);
      return end;
    } catch (error) {
      this.#failed(error);
      return asking.signal.aborted ? 'stopped' : 'failed';
    } finally {
      this.#current = undefined;
    }
  }

  /** Beside all warming: peers may take their time to say that they have no such session. */
  async #comes(key: SessionKey): Promise<void> {
    const { plan, records } = this.#parts;
    const session = await records.load(key);
    if (session.deleted || this.#stopping.signal.aborted) return;
    if (session.history.size > 0) {
      plan.coming(key);
      this.#wake();
    } else if (plan.awaits(key)) {
      // What that brings has it warmed, as every record of a session that is awaited.
      const signal = AbortSignal.any([this.#stopping.signal]);
      await records.sharing?.fetch?.(key, { waitMs: FETCH_WAIT_MS, signal });
    }
  }

  /** The LLM Service, the disk or a peer is gone, and says so where it is needed. */
  #failed(error: unknown): void {
    const { logger } = this.#parts;
    if (error instanceof DiscedgeError) logger.debug('warming_failed', { code: error.code });
    else logger.warn('warming_failed', {}, error);
  }
}
