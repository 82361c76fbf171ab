import {
  isLlmFailure,
  type LlmDescription,
  type Warming,
  type WarmingSpeed,
  type WarmingStatus,
  type WarmOutcome,
  type WarmRequest,
} from '../llm-service.ts';
import { assertPrompt } from '../prompt-checks.ts';
import type { EngineLink } from './engine-link.ts';

/** What an engine process tells of its warming. */
export interface ToldWarming {
  readonly status: WarmingStatus;
  readonly speed: WarmingSpeed | undefined;
}

interface Engines {
  /** Waits for one that is being started again. */
  next(signal: AbortSignal): Promise<EngineLink>;
  current(): EngineLink | undefined;
  readonly closing: AbortSignal;
}

const NONE: WarmingStatus = { warmedTokens: 0, usedTokens: 0, wastedTokens: 0, heldTokens: 0, preemptions: 0 };
const NOTHING = { cachedTokens: 0, restoredTokens: 0, evaluatedTokens: 0 };

/** Warming by the engines of one model, one after the other: each counts from its own start, this from the node's. */
export class ProcessWarming implements Warming {
  readonly #description: LlmDescription;
  readonly #engines: Engines;
  #before = NONE;
  #now = NONE;
  #speed: WarmingSpeed | undefined;

  constructor(description: LlmDescription, engines: Engines) {
    this.#description = description;
    this.#engines = engines;
  }

  /** An engine has said how things stand. */
  told({ status, speed }: ToldWarming): void {
    this.#now = status;
    this.#speed = speed;
  }

  /** An engine has ended, and with it what it held. */
  ended(): void {
    const { heldTokens, wastedTokens, ...counted } = this.status();
    this.#before = { ...counted, heldTokens: 0, wastedTokens: wastedTokens + heldTokens };
    this.#now = NONE;
  }

  async warm(request: WarmRequest, signal: AbortSignal): Promise<WarmOutcome> {
    assertPrompt({ prompt: request.prompt, maxTokens: 0 }, this.#description);
    const { closing } = this.#engines;
    const stop = AbortSignal.any([signal, closing]);
    try {
      stop.throwIfAborted();
      return await (await this.#engines.next(stop)).warm(request, stop);
    } catch (error) {
      if (stop.aborted) return { ...NOTHING, end: 'stopped' };
      if (isLlmFailure(error)) return { ...NOTHING, end: 'failed' };
      throw error;
    }
  }

  speed(): WarmingSpeed | undefined {
    return this.#speed;
  }

  status(): WarmingStatus {
    const sum = (what: keyof WarmingStatus) => this.#before[what] + this.#now[what];
    return {
      warmedTokens: sum('warmedTokens'),
      usedTokens: sum('usedTokens'),
      wastedTokens: sum('wastedTokens'),
      heldTokens: sum('heldTokens'),
      preemptions: sum('preemptions'),
    };
  }

  forget(affinity: string): void {
    this.#engines.current()?.tell({ kind: 'forget', affinity });
  }

  /** Of an engine that has ended the next one finds what it kept, however long it takes to start: that one is asked. Throws what one says that goes on. */
  async forgetAll(part: string): Promise<void> {
    const { closing } = this.#engines;
    for (;;) {
      let engine: EngineLink | undefined;
      try {
        engine = await this.#engines.next(closing);
        return await engine.forgetAll(part);
      } catch (error) {
        if (closing.aborted || !isLlmFailure(error) || engine?.isGone === false) throw error;
        await engine?.ended;
      }
    }
  }

  dropWarm(affinity: string): void {
    this.#engines.current()?.tell({ kind: 'drop-warm', affinity });
  }

  expect(affinity: string, chance: number): void {
    this.#engines.current()?.tell({ kind: 'expect', affinity, chance });
  }
}
