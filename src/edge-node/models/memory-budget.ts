import { DiscedgeError } from '../../domain/errors.ts';

/**
 * Main memory that the models of a node may take together. It is counted, not measured between one model and the next: the
 * system calls memory available that a model's file is mapped into, so that each would seem to fit beside the others.
 */
export class MemoryBudget {
  #leftBytes: number;

  constructor(availableBytes: number) {
    this.#leftBytes = Math.max(0, Math.floor(availableBytes));
  }

  /** A part for one of so many models that are still to be started. */
  shareOf(models: number): number {
    return this.#leftBytes / models;
  }

  /** Sets memory aside; the returned function gives it back. Throws `model_unusable` when there is not so much. */
  take(model: string, neededBytes: number): () => void {
    if (neededBytes > this.#leftBytes) {
      throw new DiscedgeError(
        'model_unusable',
        `model ${model} does not fit in memory: it needs ${inWords(neededBytes)} and ${inWords(this.#leftBytes)} are left; use a smaller model, fewer context tokens or fewer parallel turns`,
      );
    }
    this.#leftBytes -= neededBytes;
    return () => {
      this.#leftBytes += neededBytes;
    };
  }
}

function inWords(bytes: number): string {
  return `${Math.ceil(bytes).toLocaleString('en')} bytes`;
}
