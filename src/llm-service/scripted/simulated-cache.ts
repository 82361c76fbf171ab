import { commonPrefixLength, type TokenSequence } from '../../domain/token-sequence.ts';
import type { Clock, Logger } from '../../environment/environment.ts';
import { pause } from '../../waiting/pause.ts';
import type { WarmingSpeed, WarmRequest } from '../llm-service.ts';
import { leastValuable, stateValue, type ValuedState } from '../state-value.ts';
import { ChunkedWarming, type WarmableEngine, type WarmPlace } from '../warming/chunked-warming.ts';
import { WarmAccount, type WarmSpan } from '../warming/warm-account.ts';

export interface SimulatedCacheOptions {
  /** Contexts that it holds. */
  readonly sequences: number;
  /** What evaluating one id of a prompt takes, on the environment's clock. */
  readonly msPerToken: number;
  /** What {@link WarmingSpeed} says of it. */
  readonly bytesPerToken?: number | undefined;
}

/** What a generation found. */
export interface FoundPrefix {
  readonly cachedTokens: number;
  readonly warmedTokens: number;
}

interface State extends ValuedState {
  readonly affinity: string;
  readonly ids: TokenSequence;
  readonly warm: WarmSpan | undefined;
  /** By a warming. */
  isBusy: boolean;
}

/** Ids evaluated ahead of need at a time. */
export const CHUNK_TOKENS = 16;

/** A KV cache that holds nothing but the ids, and evaluates by letting time pass. */
export class SimulatedCache implements WarmableEngine {
  readonly warming: ChunkedWarming;
  readonly #options: SimulatedCacheOptions;
  readonly #clock: Clock;
  readonly #check: (prompt: TokenSequence) => void;
  readonly #states = new Map<string, State>();
  #uses = 0;

  constructor(
    options: SimulatedCacheOptions,
    parts: { readonly clock: Clock; readonly logger: Logger; readonly check: (prompt: TokenSequence) => void },
  ) {
    this.#options = options;
    this.#clock = parts.clock;
    this.#check = parts.check;
    this.warming = new ChunkedWarming(this, { ...parts, account: new WarmAccount() });
  }

  check(prompt: TokenSequence): void {
    this.#check(prompt);
  }

  chunkTokens(): number {
    return CHUNK_TOKENS;
  }

  speed(): WarmingSpeed | undefined {
    const { msPerToken, bytesPerToken } = this.#options;
    return { msPerToken, bytesPerToken };
  }

  /** A generation begins: what it finds is nobody else's to find for the first time. */
  find(affinity: string | undefined, prompt: TokenSequence): FoundPrefix {
    const state = affinity === undefined ? undefined : this.#states.get(affinity);
    if (state === undefined) return { cachedTokens: 0, warmedTokens: 0 };
    // The prompt's last id is evaluated in any case.
    const cachedTokens = Math.min(commonPrefixLength(state.ids, prompt), prompt.length - 1);
    const warmedTokens = this.warming.account.found(state.warm, cachedTokens);
    this.#states.set(state.affinity, { ...state, warm: undefined });
    return { cachedTokens, warmedTokens };
  }

  /** Ends early, without a word, when `signal` aborts. */
  async evaluate(tokens: number, signal?: AbortSignal): Promise<void> {
    const ms = tokens * this.#options.msPerToken;
    if (ms > 0) await pause(this.#clock, ms, signal);
  }

  /** What a session's generation leaves; it takes the room of whatever is worth least. */
  keep(affinity: string, ids: TokenSequence): void {
    const before = this.#states.get(affinity);
    const returns = before === undefined ? 0 : before.returns + 1;
    this.#put({ affinity, ids, tokens: ids.length, returns, usedAt: ++this.#uses, warm: undefined, isBusy: false });
  }

  async claim({ affinity, prompt, chance }: WarmRequest): Promise<WarmPlace | 'no_room'> {
    const before = this.#states.get(affinity);
    const heldTokens = commonPrefixLength(before?.ids ?? [], prompt);
    const known = { affinity, returns: before?.returns ?? 0, usedAt: this.#uses, chance, isBusy: true };
    const stateOf = (tokens: number, warm: WarmSpan | undefined): State => {
      return { ...known, ids: prompt.slice(0, tokens), tokens, warm };
    };
    let state = stateOf(heldTokens, this.warming.account.cut(before?.warm, heldTokens));
    if (!this.#put(state, prompt.length)) return 'no_room';
    return {
      heldTokens,
      restoredTokens: 0,
      evaluate: async ({ from, to }) => {
        await this.evaluate(to - from);
        const isForgotten = this.#states.get(affinity) !== state;
        state = stateOf(to, this.warming.account.evaluated({ from, to }, state.warm));
        if (!isForgotten) this.#states.set(affinity, state);
        return 'evaluated';
      },
      release: async () => {
        state.isBusy = false;
        if (this.#states.get(affinity) !== state) this.warming.account.lost(state.warm);
      },
    };
  }

  forget(affinity: string): void {
    const state = this.#states.get(affinity);
    this.#states.delete(affinity);
    if (state?.isBusy === false) this.warming.account.lost(state.warm);
  }

  async forgetAll(part: string): Promise<void> {
    for (const affinity of [...this.#states.keys()]) if (affinity.includes(part)) this.forget(affinity);
  }

  dropWarm(affinity: string): void {
    const state = this.#states.get(affinity);
    if (state?.warm === undefined || state.isBusy) return;
    this.warming.account.lost(state.warm);
    const tokens = state.warm.from;
    if (tokens === 0) this.#states.delete(affinity);
    else this.#states.set(affinity, { ...state, ids: state.ids.slice(0, tokens), tokens, warm: undefined });
  }

  expect(affinity: string, chance: number): void {
    const state = this.#states.get(affinity);
    if (state?.isBusy === false) this.#states.set(affinity, { ...state, chance });
  }

  /** False where all that is held is worth more than it will be with `tokens`. */
  #put(state: State, tokens = state.tokens): boolean {
    if (!this.#states.has(state.affinity) && this.#states.size >= this.#options.sequences) {
      const least = leastValuable(
        [...this.#states.values()].filter(({ isBusy }) => !isBusy),
        this.#uses,
      );
      if (least === undefined) return false;
      if (state.isBusy && stateValue(least, this.#uses) >= stateValue({ ...state, tokens }, this.#uses)) return false;
      this.warming.account.lost(least.warm);
      this.#states.delete(least.affinity);
    }
    this.#states.set(state.affinity, state);
    return true;
  }
}
