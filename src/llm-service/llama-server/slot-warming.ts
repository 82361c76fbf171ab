import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { Clock } from '../../environment/environment.ts';
import type { GenerationUsage, WarmingSpeed, WarmRequest } from '../llm-service.ts';
import { MeasuredRate } from '../measured-rate.ts';
import { ChunkSize } from '../warming/chunk-size.ts';
import type { WarmableEngine, WarmPlace } from '../warming/chunked-warming.ts';
import type { SlotTable } from './slot-table.ts';

/** The server evaluates no more at a time by default (`--ubatch-size`). */
const CHUNK_TOKENS_MAX = 512;

export interface SlotWarmingParts {
  readonly slots: SlotTable;
  readonly clock: Clock;
  /** Throws what a generation with such a prompt would. */
  readonly check: (prompt: TokenSequence) => void;
  /** Has the server evaluate what a slot lacks of a prompt, and nothing else. */
  readonly fill: (prompt: TokenSequence, slot: number) => Promise<GenerationUsage>;
}

/** Evaluates contexts ahead of need in a server's slots, by requests for no id whose prompts grow chunk by chunk. */
export class SlotWarming implements WarmableEngine {
  readonly #parts: SlotWarmingParts;
  readonly #chunk = new ChunkSize(CHUNK_TOKENS_MAX);
  readonly #evaluating = new MeasuredRate();

  constructor(parts: SlotWarmingParts) {
    this.#parts = parts;
  }

  check(prompt: TokenSequence): void {
    this.#parts.check(prompt);
  }

  chunkTokens(): number {
    return this.#chunk.tokens;
  }

  speed(): WarmingSpeed | undefined {
    const { msEach: msPerToken } = this.#evaluating;
    return msPerToken === undefined ? undefined : { msPerToken, bytesPerToken: undefined };
  }

  /** Told of every reply's end. */
  generated({ evaluatedTokens, promptMs, predictedTokens, predictedMs }: GenerationUsage): void {
    this.#evaluating.took(evaluatedTokens, promptMs);
    this.#chunk.sampled(predictedTokens, predictedMs);
  }

  async claim(request: WarmRequest): Promise<WarmPlace | 'no_room' | 'not_kept'> {
    const { slots, clock, fill } = this.#parts;
    const lease = slots.leaseToWarm(request);
    if (typeof lease === 'string') return lease;
    return {
      heldTokens: lease.heldTokens,
      restoredTokens: 0,
      evaluate: async ({ from, to }) => {
        const startedMs = clock.monotonic();
        const { cachedTokens, evaluatedTokens, promptMs } = await fill(request.prompt.slice(0, to), lease.slot);
        this.#evaluating.took(evaluatedTokens, promptMs);
        this.#chunk.evaluated(to - from, clock.monotonic() - startedMs);
        lease.evaluated({ from: Math.min(cachedTokens, to), to });
      },
      release: async () => lease.release(),
    };
  }

  forget(affinity: string): void {
    this.#parts.slots.forget(affinity);
  }

  expect(affinity: string, chance: number): void {
    this.#parts.slots.expect(affinity, chance);
  }
}
