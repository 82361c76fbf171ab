import { virtualEnvironment } from './virtual-environment.ts';

/** Draws of one seed. */
export class Chance {
  readonly #bytes: (length: number) => Uint8Array;

  constructor(seed: number) {
    this.#bytes = virtualEnvironment({ seed }).random.bytes;
  }

  /** A whole number from 0 to `bound` − 1. */
  below(bound: number): number {
    return Buffer.from(this.#bytes(4)).readUInt32LE(0) % bound;
  }

  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  weighted<T>(values: ReadonlyArray<readonly [number, T]>): T {
    let rest = this.below(values.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of values) {
      rest -= weight;
      if (rest < 0) return value;
    }
    throw new Error('no weights');
  }
}

/** Promises and immediates get to run that often. */
export async function yielded(rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise((resolve) => setImmediate(resolve));
}
