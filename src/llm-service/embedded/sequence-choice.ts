import { commonPrefixLength, type TokenSequence } from '../../domain/token-sequence.ts';
import { stateValue } from '../state-value.ts';
import type { WarmSpan } from '../warming/warm-account.ts';

/** One KV sequence of the engine, as the pool needs to see it. */
export interface KvSequence {
  /** The ids whose state it holds. */
  tokens(): TokenSequence;
}

export interface SequenceRequest {
  readonly prompt: TokenSequence;
  readonly affinity: string | undefined;
  /** Whose state it may take over, where users are kept apart. */
  readonly owner?: string | undefined;
}

/** Whose state a sequence holds, and of how much use it may be. */
export interface Holding {
  readonly affinity: string | undefined;
  readonly owner: string | undefined;
  /** How often its session has come back. */
  readonly returns: number;
  /** {@link SequencePool.now} when it was released. */
  readonly usedAt: number;
  /** 0 to 1, that it will be wanted, where that is foreseen. */
  readonly chance?: number | undefined;
  /** What of it was evaluated ahead of need and has not been found yet. */
  readonly warm?: WarmSpan | undefined;
}

export interface SequencePoolOptions {
  /** Whether a generation may go on from the state of another owner. */
  readonly sharesOwners: boolean;
}

type Choosable<S> = Holding & { readonly sequence: S; readonly forgotten?: boolean };

/**
 * Among idle slots (at least one): the one of the same affinity; else one whose state is worth taking over, and may be; else
 * an empty one; else the one whose state is worth least.
 */
export function chooseSlot<S extends KvSequence, T extends Choosable<S>>(
  idle: readonly T[],
  { prompt, affinity, owner }: SequenceRequest,
  { sharesOwners, now }: SequencePoolOptions & { readonly now: number },
): T {
  const candidates = idle.map((slot) => {
    const tokens = slot.sequence.tokens();
    const mayShare = slot.forgotten !== true && (sharesOwners || slot.owner === owner);
    return { slot, length: tokens.length, shared: mayShare ? commonPrefixLength(tokens, prompt) : 0 };
  });
  const own = candidates.filter(({ slot }) => affinity !== undefined && slot.affinity === affinity);
  const worthwhile = candidates.filter(({ shared, length }) => isWorthTakingOver({ shared, length, prompt }));
  const bySharing = [...(own.length > 0 ? own : worthwhile)].sort((a, b) => b.shared - a.shared);
  const empty = candidates.find(({ length, slot }) => length === 0 || slot.forgotten === true);
  return (bySharing[0] ?? empty)?.slot ?? (leastWorth(idle, now) as T);
}

/** The one whose state is worth least; of equals the one used longest ago. */
export function leastWorth<T extends Choosable<KvSequence>>(slots: readonly T[], now: number): T | undefined {
  const valued = slots.map((slot) => ({ slot, value: slotValue(slot, now) }));
  return valued.sort((a, b) => a.value - b.value || a.slot.usedAt - b.slot.usedAt)[0]?.slot;
}

/** What is lost when it is given up. */
export function slotValue({ sequence, returns, usedAt, chance }: Choosable<KvSequence>, now: number): number {
  return stateValue({ tokens: sequence.tokens().length, returns, usedAt, chance }, now);
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
