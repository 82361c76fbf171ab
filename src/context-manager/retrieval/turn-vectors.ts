import type { ContextId } from '../../domain/identifiers.ts';

/** Of one session: a thousand turns in a model of 1,024 dimensions. The first that were made go first. */
const BYTES_MAX = 4 * 1024 * 1024;
/** A best cosine that stands out no more from the mean tells nothing: texts of one language all point somewhat the same way. */
const STANDS_OUT = 0.05;
/** Of how far the best stands out, so much must another one. */
const SCORE_SHARE = 0.5;

/** What the turns of one session are about, as vectors of length 1: their product is the cosine. */
export class TurnVectors {
  readonly #vectors = new Map<ContextId, Float32Array>();
  #dimensions = 0;

  get bytes(): number {
    return this.#vectors.size * this.#dimensions * Float32Array.BYTES_PER_ELEMENT;
  }

  has(hash: ContextId): boolean {
    return this.#vectors.has(hash);
  }

  /** Keeps none that points nowhere. One of other dimensions is another model's: those before it say nothing beside it. */
  add(hash: ContextId, vector: readonly number[]): void {
    const unit = unitOf(vector);
    if (unit === undefined) return;
    if (unit.length !== this.#dimensions) this.#vectors.clear();
    this.#dimensions = unit.length;
    this.#vectors.set(hash, unit);
    while (this.bytes > BYTES_MAX) this.#vectors.delete(this.#vectors.keys().next().value as ContextId);
  }

  /**
   * Those among `within` that are nearest to a vector, the nearest first, so far as they stand out from the rest; `undefined` where
   * the vector cannot be compared with any.
   */
  nearest(vector: readonly number[], within: ReadonlySet<ContextId>): ContextId[] | undefined {
    const unit = unitOf(vector);
    if (unit === undefined || unit.length !== this.#dimensions) return undefined;
    const cosines = [...this.#vectors].flatMap(([hash, other]) =>
      within.has(hash) ? [{ hash, cosine: product(unit, other) }] : [],
    );
    if (cosines.length === 0) return undefined;
    cosines.sort((a, b) => b.cosine - a.cosine);
    const mean = cosines.reduce((sum, { cosine }) => sum + cosine, 0) / cosines.length;
    const above = (cosines[0]?.cosine ?? 0) - mean;
    if (above < STANDS_OUT) return [];
    return cosines.filter(({ cosine }) => cosine - mean >= SCORE_SHARE * above).map(({ hash }) => hash);
  }
}

function unitOf(vector: readonly number[]): Float32Array | undefined {
  const length = Math.sqrt(vector.reduce((sum, one) => sum + one * one, 0));
  return length > 0 && Number.isFinite(length) ? Float32Array.from(vector, (one) => one / length) : undefined;
}

function product(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number);
  return sum;
}
