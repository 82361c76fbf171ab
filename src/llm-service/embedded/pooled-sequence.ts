import type { LlamaContextSequence } from 'node-llama-cpp';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import type { FiledSequence } from './kept-state/state-keeper.ts';
import type { KvSequence } from './sequence-choice.ts';

/** A KV sequence of llama.cpp with its place among the others. */
export class PooledSequence implements KvSequence, FiledSequence {
  readonly sequence: LlamaContextSequence;
  readonly slot: number;

  constructor(sequence: LlamaContextSequence, slot: number) {
    this.sequence = sequence;
    this.slot = slot;
  }

  tokens(): TokenSequence {
    return this.sequence.contextTokens as number[] as TokenId[];
  }

  get cutsBack(): boolean {
    return !this.sequence.needsCheckpoints;
  }

  async saveTo(path: string): Promise<number> {
    return (await this.sequence.saveStateToFile(path)).fileSize;
  }

  async restoreFrom(path: string): Promise<void> {
    // Of a file that llama.cpp refuses it would keep what was here, and node-llama-cpp would take it for nothing.
    await this.clear();
    // The file has been found to be of this model and this build of llama.cpp.
    await this.sequence.loadStateFromFile(path, { acceptRisk: true });
  }

  /** Holds its first `length` ids from now on; what cannot be cut back is gone. Rejects as {@link clear}. */
  async cutTo(length: number): Promise<void> {
    const ids = this.sequence.contextTokens.slice(0, length);
    await this.sequence.adaptStateToTokens(ids, false).catch(() => this.clear());
  }

  /** Rejects where it may hold something still. */
  async clear(): Promise<void> {
    await this.sequence.clearHistory();
  }
}
