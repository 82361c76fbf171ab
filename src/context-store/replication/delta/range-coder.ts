/** Below this the range is widened by a byte, so totals up to 2²⁰ keep four bits of precision. */
const RANGE_MIN = 2 ** 24;
const RANGE_MAX = 2 ** 32;

/** Largest total that a choice may be made from. */
export const TOTAL_MAX = 2 ** 20;

/**
 * Writes choices in about as many bits as they are surprising: a choice of weight `w` out of `total` takes log₂(total / w).
 * Whole numbers below 2⁵³ only, so every machine writes the same bytes.
 */
export class RangeEncoder {
  readonly #bytes: number[] = [];
  #low = 0;
  #range = RANGE_MAX;

  /** The choice that lies at `start` … `start + weight` of `total`. */
  write(start: number, weight: number, total: number): void {
    const unit = Math.floor(this.#range / total);
    this.#low += unit * start;
    this.#range = start + weight < total ? unit * weight : this.#range - unit * start;
    if (this.#low >= RANGE_MAX) this.#carry();
    while (this.#range < RANGE_MIN) {
      this.#bytes.push(Math.floor(this.#low / RANGE_MIN));
      this.#low = (this.#low % RANGE_MIN) * 256;
      this.#range *= 256;
    }
  }

  /** Everything written, as short as it can be: a reader takes zeros for what is not there. */
  finish(): Uint8Array {
    this.#low = Math.ceil(this.#low / RANGE_MIN) * RANGE_MIN;
    if (this.#low >= RANGE_MAX) this.#carry();
    this.#bytes.push(this.#low / RANGE_MIN);
    while (this.#bytes.at(-1) === 0) this.#bytes.pop();
    return Uint8Array.from(this.#bytes);
  }

  #carry(): void {
    this.#low -= RANGE_MAX;
    let at = this.#bytes.length - 1;
    while (this.#bytes[at] === 0xff) this.#bytes[at--] = 0;
    this.#bytes[at] = (this.#bytes[at] as number) + 1;
  }
}

/** Reads what a {@link RangeEncoder} wrote; any bytes read as some choices. */
export class RangeDecoder {
  readonly #bytes: Uint8Array;
  #at = 0;
  #code = 0;
  #range = RANGE_MAX;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let i = 0; i < 4; i++) this.#code = this.#code * 256 + this.#next();
  }

  /** Where in `total` the next choice lies; {@link take} must follow with the choice that covers it. */
  peek(total: number): number {
    return Math.min(total - 1, Math.floor(this.#code / Math.floor(this.#range / total)));
  }

  take(start: number, weight: number, total: number): void {
    const unit = Math.floor(this.#range / total);
    this.#code -= unit * start;
    this.#range = start + weight < total ? unit * weight : this.#range - unit * start;
    while (this.#range < RANGE_MIN) {
      this.#code = this.#code * 256 + this.#next();
      this.#range *= 256;
    }
  }

  #next(): number {
    return this.#bytes[this.#at++] ?? 0;
  }
}
