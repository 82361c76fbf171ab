import { DiscedgeError } from '../../domain/errors.ts';
import { commonPrefixLength, type TokenSequence } from '../../domain/token-sequence.ts';
import { BoundedLine } from '../../waiting/bounded-line.ts';

/** A generation that waits holds its prompt (up to megabytes); beyond this many the node says so instead. */
export const WAITING_GENERATIONS_MAX = 256;

/** One KV sequence of the engine, as the pool needs to see it. */
export interface KvSequence {
  /** The ids whose state it holds. */
  tokens(): TokenSequence;
}

export interface SequenceRequest {
  readonly prompt: TokenSequence;
  readonly affinity: string | undefined;
}

export interface SequenceLease<S> {
  readonly sequence: S;
  release(): void;
}

interface Slot<S> {
  readonly sequence: S;
  affinity: string | undefined;
  /** Counts releases: the slot with the smallest was used longest ago. */
  usedAt: number;
  busy: boolean;
}

/** Hands each generation the idle sequence that spares it most; those that find none wait in the order they came. */
export class SequencePool<S extends KvSequence> {
  readonly #slots: Slot<S>[];
  readonly #line = new BoundedLine<Slot<S>>(WAITING_GENERATIONS_MAX, tooManyWait);
  #releases = 0;

  constructor(sequences: readonly S[]) {
    this.#slots = sequences.map((sequence) => ({ sequence, affinity: undefined, usedAt: 0, busy: false }));
  }

  /**
   * Throws `llm_unavailable` when {@link WAITING_GENERATIONS_MAX} already wait, and `signal.reason` when that is aborted
   * before there is a sequence.
   */
  async acquire(request: SequenceRequest, signal: AbortSignal): Promise<SequenceLease<S>> {
    signal.throwIfAborted();
    const idle = this.#slots.filter((slot) => !slot.busy);
    if (idle.length > 0) return this.#lease(chooseSlot(idle, request), request);
    return this.#lease(await this.#line.join(signal), request);
  }

  /** In the order of the sequences. */
  states(): { readonly busy: boolean }[] {
    return this.#slots.map(({ busy }) => ({ busy }));
  }

  #lease(slot: Slot<S>, request: SequenceRequest): SequenceLease<S> {
    slot.busy = true;
    slot.affinity = request.affinity;
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      slot.usedAt = ++this.#releases;
      slot.busy = this.#line.serveNext(slot);
    };
    return { sequence: slot.sequence, release };
  }
}

function tooManyWait(waiting: number): DiscedgeError {
  const message = `${waiting} generations already wait for the embedded LLM Service; try again later`;
  return new DiscedgeError('llm_unavailable', message);
}

/**
 * Among idle slots (at least one): the one of the same affinity; else one whose state is worth taking over; else an
 * empty one; else the one used longest ago.
 */
export function chooseSlot<T extends Pick<Slot<KvSequence>, 'sequence' | 'affinity' | 'usedAt'>>(
  idle: readonly T[],
  { prompt, affinity }: SequenceRequest,
): T {
  const candidates = idle.map((slot) => {
    const tokens = slot.sequence.tokens();
    return { slot, length: tokens.length, shared: commonPrefixLength(tokens, prompt) };
  });
  const own = candidates.filter(({ slot }) => affinity !== undefined && slot.affinity === affinity);
  const worthwhile = candidates.filter(({ shared, length }) => isWorthTakingOver({ shared, length, prompt }));
  const bySharing = [...(own.length > 0 ? own : worthwhile)].sort((a, b) => b.shared - a.shared);
  const empty = candidates.find(({ length }) => length === 0);
  const oldest = [...candidates].sort((a, b) => a.slot.usedAt - b.slot.usedAt);
  return (bySharing[0] ?? empty ?? (oldest[0] as (typeof candidates)[number])).slot;
}

/** A state that this share of would be left to its owner is taken over however little it spares the taker. */
const NEARLY_ALL = 0.9;

/**
 * Either the prompt goes on where the state ends, as a client's that keeps its own history does, or it spares the taker
 * half its prompt and costs the owner no more than is spared.
 */
function isWorthTakingOver(state: { shared: number; length: number; prompt: TokenSequence }): boolean {
  const { shared, length, prompt } = state;
  if (shared === 0) return false;
  return shared >= length * NEARLY_ALL || (shared >= prompt.length / 2 && shared >= length / 2);
}
