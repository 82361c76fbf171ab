import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { Clock } from '../../environment/environment.ts';
import type { WarmingSpeed, WarmRequest } from '../llm-service.ts';
import type { ChunkSize } from '../warming/chunk-size.ts';
import type { ChunkEnd, WarmableEngine, WarmPlace } from '../warming/chunked-warming.ts';
import type { WarmAccount, WarmSpan } from '../warming/warm-account.ts';
import { tokens } from './engine.ts';
import type { MeasuredSpeeds } from './kept-state/measured-speeds.ts';
import type { PooledSequence } from './pooled-sequence.ts';
import type { KeepAt, SequenceKeeping } from './sequence-keeping.ts';
import type { SequenceLease } from './sequence-pool.ts';

export interface SequenceWarmingParts {
  readonly sequences: SequenceKeeping;
  readonly account: WarmAccount;
  readonly chunk: ChunkSize;
  readonly speeds: MeasuredSpeeds;
  readonly clock: Clock;
  /** Throws what a generation with such a prompt would. */
  readonly check: (prompt: TokenSequence) => void;
  /** Ends a wait for llama.cpp that has become too long, by throwing. */
  readonly watched: (evaluation: Promise<void>) => Promise<void>;
}

/** Evaluates contexts ahead of need in llama.cpp's sequences. */
export class SequenceWarming implements WarmableEngine {
  readonly #parts: SequenceWarmingParts;

  constructor(parts: SequenceWarmingParts) {
    this.#parts = parts;
  }

  check(prompt: TokenSequence): void {
    this.#parts.check(prompt);
  }

  chunkTokens(quietMs: number): number {
    return this.#parts.chunk.tokens(quietMs);
  }

  speed(): WarmingSpeed | undefined {
    const { speeds } = this.#parts;
    const msPerToken = speeds.evaluate.msEach ?? speeds.evaluateAhead.msEach;
    return msPerToken === undefined ? undefined : { msPerToken, bytesPerToken: speeds.bytesFor(1) };
  }

  forget(affinity: string): void {
    this.#parts.sequences.forget(affinity);
  }

  forgetAll(part: string): Promise<void> {
    return this.#parts.sequences.forgetAll(part);
  }

  dropWarm(affinity: string): void {
    this.#parts.sequences.dropWarm(affinity);
  }

  expect(affinity: string, chance: number): void {
    this.#parts.sequences.expect(affinity, chance);
  }

  async claim(request: WarmRequest, stop: AbortSignal): Promise<WarmPlace | 'no_room'> {
    const { sequences, account } = this.#parts;
    const lease = await sequences.acquireToWarm(request, stop);
    if (lease === undefined) return 'no_room';
    if (lease === 'kept') return inAFile(request);
    const giveUp = () => this.#giveUp(lease);
    try {
      const { restoredTokens, warm, keepAt } = await sequences.prepare(lease, request, { isReturn: false });
      lease.mark({ warm });
      const { sequence } = lease.sequence;
      await sequence.adaptStateToTokens(tokens(request.prompt), false);
      const heldTokens = sequence.nextTokenIndex;
      lease.mark({ warm: account.cut(warm, heldTokens) });
      const held = { heldTokens, restoredTokens: Math.min(restoredTokens, heldTokens) };
      return new WarmSequence(lease, request.prompt, held, { ...this.#parts, giveUp, keepAt });
    } catch (error) {
      await giveUp();
      throw error;
    }
  }

  /** llama.cpp and node-llama-cpp may disagree now about what the sequence holds. Never rejects. */
  async #giveUp(lease: SequenceLease<PooledSequence>): Promise<void> {
    this.#parts.account.lost(lease.warm());
    lease.mark({ warm: undefined });
    await lease.sequence.clear().catch(() => undefined);
    await this.#parts.sequences.release(lease);
  }
}

interface WarmSequenceParts extends SequenceWarmingParts {
  readonly giveUp: () => Promise<void>;
  readonly keepAt: KeepAt | undefined;
}

class WarmSequence implements WarmPlace {
  readonly heldTokens: number;
  readonly restoredTokens: number;
  readonly #lease: SequenceLease<PooledSequence>;
  readonly #prompt: TokenSequence;
  readonly #parts: WarmSequenceParts;
  /** What llama.cpp was last asked for; it may come back after everyone has gone. */
  #evaluation: Promise<void> = Promise.resolve();
  #hasFailed = false;

  constructor(
    lease: SequenceLease<PooledSequence>,
    prompt: TokenSequence,
    held: Pick<WarmPlace, 'heldTokens' | 'restoredTokens'>,
    parts: WarmSequenceParts,
  ) {
    this.heldTokens = held.heldTokens;
    this.restoredTokens = held.restoredTokens;
    this.#lease = lease;
    this.#prompt = prompt;
    this.#parts = parts;
  }

  /** What others begin with too is kept on the way. */
  async evaluate({ from, to }: WarmSpan): Promise<ChunkEnd> {
    const { keepAt } = this.#parts;
    if (keepAt === undefined || from >= keepAt.tokens || keepAt.tokens > to) return this.#evaluate({ from, to });
    await this.#evaluate({ from, to: keepAt.tokens });
    await keepAt.keep();
    return keepAt.tokens === to ? 'evaluated' : this.#evaluate({ from: keepAt.tokens, to });
  }

  async #evaluate({ from, to }: WarmSpan): Promise<ChunkEnd> {
    const { account, chunk, speeds, clock, watched } = this.#parts;
    const startedMs = clock.monotonic();
    const piece = tokens(this.#prompt.slice(from, to));
    this.#evaluation = this.#lease.sequence.sequence.evaluateWithoutGeneratingNewTokens(piece);
    try {
      await watched(this.#evaluation);
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
    const ms = clock.monotonic() - startedMs;
    chunk.evaluated(to - from, ms);
    speeds.evaluateAhead.took(to - from, ms);
    this.#lease.mark({ warm: account.evaluated({ from, to }, this.#lease.warm()) });
    return 'evaluated';
  }

  async release(): Promise<void> {
    if (!this.#hasFailed) return this.#parts.sequences.release(this.#lease);
    void this.#evaluation.catch(() => undefined).then(this.#parts.giveUp);
  }
}

/** It comes back to whatever sequence it is wanted in. */
function inAFile({ prompt }: WarmRequest): WarmPlace {
  return { heldTokens: prompt.length, restoredTokens: 0, evaluate: async () => 'evaluated', release: async () => {} };
}
