import { commonPrefixLength, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { WarmSpan } from '../../warming/warm-account.ts';
import type { KeptState } from './kept-state.ts';

/** What may change of a state that is kept. */
type Known = Partial<Pick<KeptState, 'warm' | 'chance' | 'isAhead'>>;

/** The states that are in files, by session, and what they come to. */
export class KeptStates {
  readonly #byAffinity = new Map<string, KeptState>();
  readonly #onWarmLost: (span: WarmSpan) => void;
  #bytes = 0;

  /** `onWarmLost`: told of what was evaluated ahead of need, and goes before anyone has found it. */
  constructor(onWarmLost: (span: WarmSpan) => void) {
    this.#onWarmLost = onWarmLost;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#byAffinity.size;
  }

  get affinities(): string[] {
    return [...this.#byAffinity.keys()];
  }

  all(): Iterable<KeptState> {
    return this.#byAffinity.values();
  }

  find(affinity: string): KeptState | undefined {
    return this.#byAffinity.get(affinity);
  }

  holdsAll(affinity: string, ids: TokenSequence): boolean {
    return commonPrefixLength(this.find(affinity)?.ids ?? [], ids) === ids.length;
  }

  /** In place of its session's earlier one. */
  add(state: KeptState): void {
    const before = this.find(state.affinity);
    if (before !== undefined) this.#drop(before);
    this.#bytes += state.fileBytes;
    this.#byAffinity.set(state.affinity, state);
  }

  /** The same file, of which something else is known. Where that says what of it is warm, what was warm before is lost. */
  note(affinity: string, known: Known): void {
    const state = this.find(affinity);
    if (state === undefined) return;
    if ('warm' in known) this.#lost(state);
    this.#byAffinity.set(affinity, { ...state, ...known });
  }

  /** The same file, in someone's hands: what of it is warm is theirs. */
  hand(state: KeptState): KeptState {
    const held = { ...state, warm: undefined };
    this.#byAffinity.set(state.affinity, held);
    return held;
  }

  /** False where it is not what is kept. */
  remove(state: KeptState): boolean {
    if (this.find(state.affinity) !== state) return false;
    this.#drop(state);
    this.#byAffinity.delete(state.affinity);
    return true;
  }

  #drop(state: KeptState): void {
    this.#bytes -= state.fileBytes;
    this.#lost(state);
  }

  #lost({ warm }: KeptState): void {
    if (warm !== undefined) this.#onWarmLost(warm);
  }
}
