import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { Clock } from '../../environment/environment.ts';
import type { GenerationUsage, WarmingSpeed, WarmRequest } from '../llm-service.ts';
import { MeasuredRate } from '../measured-rate.ts';
import { ChunkSize } from '../warming/chunk-size.ts';
import type { WarmableEngine, WarmPlace } from '../warming/chunked-warming.ts';
import type { SlotTable } from './slot-table.ts';

/** The server evaluates no more at a time by default (`--ubatch-size`). */
const CHUNK_TOKENS_MAX = 512;
/** Each chunk is a request, whose prompt is sent from its beginning: fewer ids cost little less. */
export const CHUNK_TOKENS_MIN = 64;
/** Nobody waits for a chunk for longer than so many take: then it is queued behind requests of others who use the server. */
export const WAITED_CHUNKS = 4;
/** Nor is one given up before. */
export const WAIT_MIN_MS = 1_000;

export interface SlotWarmingParts {
  readonly slots: SlotTable;
  readonly clock: Clock;
  /** Throws what a generation with such a prompt would. */
  readonly check: (prompt: TokenSequence) => void;
  /** Has the server evaluate what a slot lacks of a prompt, and nothing else; throws when `stop` is aborted before. */
  readonly fill: (prompt: TokenSequence, slot: number, stop: AbortSignal) => Promise<GenerationUsage>;
  /** Has the server drop what a slot holds, where it does that. */
  readonly erase: (slot: number) => Promise<void>;
}

/** Evaluates contexts ahead of need in a server's slots, by requests for no id whose prompts grow chunk by chunk. */
export class SlotWarming implements WarmableEngine {
  readonly #parts: SlotWarmingParts;
  readonly #chunk = new ChunkSize(CHUNK_TOKENS_MAX, CHUNK_TOKENS_MIN);
  readonly #evaluating = new MeasuredRate();
  /** The chunk under way, and how to give it up. */
  #filling: { readonly tokens: number; readonly abort: AbortController } | undefined;

  constructor(parts: SlotWarmingParts) {
    this.#parts = parts;
  }

  check(prompt: TokenSequence): void {
    this.#parts.check(prompt);
  }

  chunkTokens(quietMs: number): number {
    return this.#chunk.tokens(quietMs);
  }

  speed(): WarmingSpeed | undefined {
    const { msEach: msPerToken } = this.#evaluating;
    return msPerToken === undefined ? undefined : { msPerToken, bytesPerToken: undefined };
  }

  /** Told of every reply's end. */
  generated({ evaluatedTokens, promptMs, predictedTokens, predictedMs }: GenerationUsage): void {
    this.#evaluating.took(evaluatedTokens, promptMs);
    // Its first id came with the prompt.
    this.#chunk.replied(predictedTokens - 1, predictedMs);
  }

  /** Of a generation that waits for the chunk under way: one that takes much longer than chunks do is given up for it. */
  async hurried<T>(entering: Promise<T>): Promise<T> {
    const filling = this.#filling;
    if (filling === undefined) return entering;
    const chunkMs = this.#evaluating.msFor(filling.tokens) ?? 0;
    const waitMs = Math.max(WAIT_MIN_MS, WAITED_CHUNKS * chunkMs);
    const cancel = this.#parts.clock.after(waitMs, () => filling.abort.abort());
    return entering.finally(cancel);
  }

  async claim(request: WarmRequest): Promise<WarmPlace | 'no_room' | 'not_kept'> {
    const lease = this.#parts.slots.leaseToWarm(request);
    if (typeof lease === 'string') return lease;
    let filledTokens: number | undefined;
    return {
      heldTokens: lease.heldTokens,
      restoredTokens: 0,
      evaluate: async ({ from, to }) => {
        const usage = await this.#fill(request.prompt.slice(0, to), { slot: lease.slot, tokens: to - from });
        if (usage === undefined) return 'given_up';
        lease.evaluated({ from: Math.min(usage.cachedTokens, to), to });
        // What an earlier request left there may be gone; what the one before this left is, where nothing stays.
        const isKept = filledTokens === undefined || usage.cachedTokens >= filledTokens;
        filledTokens = to;
        return isKept ? 'evaluated' : 'not_kept';
      },
      release: async () => lease.release(),
    };
  }

  /** `undefined` where it is given up. */
  async #fill(
    prompt: TokenSequence,
    { slot, tokens }: { readonly slot: number; readonly tokens: number },
  ): Promise<GenerationUsage | undefined> {
    const { clock, fill } = this.#parts;
    const abort = new AbortController();
    this.#filling = { tokens, abort };
    const startedMs = clock.monotonic();
    try {
      const usage = await fill(prompt, slot, abort.signal);
      this.#evaluating.took(usage.evaluatedTokens, usage.promptMs);
      this.#chunk.evaluated(tokens, clock.monotonic() - startedMs);
      return usage;
    } catch (error) {
      if (abort.signal.aborted) return undefined;
      throw error;
    } finally {
      this.#filling = undefined;
    }
  }

  forget(affinity: string): void {
    this.#parts.slots.forget((other) => other === affinity);
  }

  /** Of a server that does not erase slots: what one has stays there until something else comes into it, and this finds it no more. */
  forgetAll(part: string): Promise<void> {
    return this.#parts.slots.eraseAll((affinity) => affinity.includes(part), this.#parts.erase);
  }

  dropWarm(affinity: string): void {
    this.#parts.slots.dropWarm(affinity);
  }

  expect(affinity: string, chance: number): void {
    this.#parts.slots.expect(affinity, chance);
  }
}
