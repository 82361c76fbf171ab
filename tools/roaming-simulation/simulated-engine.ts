import type { SessionKeyText } from '../../src/domain/identifiers.ts';
import { leastValuable, stateValue, type ValuedState } from '../../src/llm-service/state-value.ts';

/** What a session has in the KV cache of a node. */
interface HeldState extends ValuedState {
  readonly keyText: SessionKeyText;
  /** Of its ids, those that were evaluated ahead of need and not used yet. */
  readonly warmed: number;
}

export interface EngineCounts {
  warmedIds: number;
  wastedIds: number;
  evaluatedIds: number;
}

export interface EngineCost {
  readonly msPerId: number;
  readonly msPerReplyId: number;
  /** Ids of KV state that fit, in sequences and files together. */
  readonly roomIds: number;
}

/** An engine's KV cache and time, without a model: contexts are lengths, and state is kept by what it is worth to a real one. */
export class SimulatedEngine {
  readonly counts: EngineCounts = { warmedIds: 0, wastedIds: 0, evaluatedIds: 0 };
  readonly #cost: EngineCost;
  readonly #held = new Map<SessionKeyText, HeldState>();
  #ids = 0;
  #turns = 0;

  constructor(cost: EngineCost) {
    this.#cost = cost;
  }

  heldIds(keyText: SessionKeyText): number {
    return this.#held.get(keyText)?.tokens ?? 0;
  }

  /** A turn: `contextIds` before it, `newIds` of its message, `replyIds` after. Returns what the first token waits for, and how long all takes. */
  turn(
    keyText: SessionKeyText,
    { contextIds, newIds, replyIds }: { contextIds: number; newIds: number; replyIds: number },
  ): { readonly firstMs: number; readonly totalMs: number } {
    const before = this.#held.get(keyText);
    const evaluated = contextIds - this.heldIds(keyText) + newIds;
    this.counts.evaluatedIds += evaluated;
    const returns = before === undefined ? 0 : before.returns + 1;
    const tokens = contextIds + newIds + replyIds;
    this.#put({ keyText, tokens, warmed: 0, returns, usedAt: ++this.#turns });
    while (this.#ids > this.#cost.roomIds) this.forget(this.#least(keyText).keyText);
    const firstMs = evaluated * this.#cost.msPerId + this.#cost.msPerReplyId;
    return { firstMs, totalMs: firstMs + (replyIds - 1) * this.#cost.msPerReplyId };
  }

  /** Makes room for a context; false where all that is held is worth more. */
  claim(keyText: SessionKeyText, { tokens, chance }: { tokens: number; chance: number }): boolean {
    const wanted = { tokens, chance, returns: 0, usedAt: this.#turns };
    while (this.#ids + tokens - this.heldIds(keyText) > this.#cost.roomIds) {
      const least = this.#least(keyText);
      if (stateValue(least, this.#turns) >= stateValue(wanted, this.#turns)) return false;
      this.forget(least.keyText);
    }
    return true;
  }

  /** So many ids of a context were evaluated ahead of need. */
  warmed(keyText: SessionKeyText, { tokens, chance }: { tokens: number; chance: number }): void {
    const before = this.#held.get(keyText);
    const added = tokens - (before?.tokens ?? 0);
    this.counts.warmedIds += added;
    const { returns = 0, warmed = 0 } = before ?? {};
    this.#put({ keyText, tokens, warmed: warmed + added, returns, chance, usedAt: this.#turns });
  }

  /** What is held of a session will be wanted with that chance. */
  expect(keyText: SessionKeyText, chance: number): void {
    const state = this.#held.get(keyText);
    if (state !== undefined) this.#held.set(keyText, { ...state, chance });
  }

  forget(keyText: SessionKeyText): void {
    const state = this.#held.get(keyText);
    if (state === undefined) return;
    this.#held.delete(keyText);
    this.#ids -= state.tokens;
    this.counts.wastedIds += state.warmed;
  }

  /** All that was warmed and not used is wasted. */
  close(): void {
    for (const keyText of [...this.#held.keys()]) this.forget(keyText);
  }

  #put(state: HeldState): void {
    this.#ids += state.tokens - this.heldIds(state.keyText);
    this.#held.set(state.keyText, state);
  }

  #least(but: SessionKeyText): HeldState {
    const others = [...this.#held.values()].filter(({ keyText }) => keyText !== but);
    const least = leastValuable(others, this.#turns);
    if (least === undefined) throw new RangeError('one context is longer than the KV cache');
    return least;
  }
}
