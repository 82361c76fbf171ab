import { isUtf8 } from 'node:buffer';

/**
 * Growing byte buffer for the record codec: LEB128 varints, length-prefixed UTF-8, fixed-length raw bytes. Throws
 * RangeError for a value that it cannot write.
 */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(initialBytes = 512) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  byte(value: number): void {
    if (!(value >= 0 && value <= 0xff)) throw new RangeError(`${value} is not a byte`);
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  /** Unsigned, up to 2⁵³−1. */
  varint(value: number): void {
    if (!(value >= 0 && Number.isSafeInteger(value))) throw new RangeError(`${value} is not a whole number`);
    this.#reserve(8);
    let rest = value;
    while (rest > 0x7fff_ffff) {
      this.#buffer[this.#length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#length++] = rest;
  }

  text(value: string): void {
    const bytes = Buffer.byteLength(value, 'utf8');
    this.varint(bytes);
    this.#reserve(bytes);
    this.#length += this.#buffer.write(value, this.#length, bytes, 'utf8');
  }

  /** Bytes whose number the reader knows. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** `bytes` bytes, given as twice as many hex digits. */
  hex(digits: string, bytes: number): void {
    this.#reserve(bytes);
    // Stops before what is no hex digit.
    const written = digits.length === 2 * bytes ? this.#buffer.write(digits, this.#length, bytes, 'hex') : 0;
    if (written !== bytes) throw new RangeError(`not ${bytes} bytes in hex`);
    this.#length += bytes;
  }

  /** Any number but NaN, which has many forms. */
  double(value: number): void {
    if (Number.isNaN(value)) throw new RangeError('NaN');
    this.#reserve(8);
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }

  /** A view of what was written; valid until the next write. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** The input is not what a {@link ByteWriter} wrote: it ends early, or a value has not the one form that it is given. */
export class MalformedBytes extends Error {}

/** Reads what {@link ByteWriter} wrote; throws {@link MalformedBytes} and never reads past the end. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    if (this.#at >= this.#bytes.length) throw new MalformedBytes('ended early');
    return this.#bytes[this.#at++] as number;
  }

  varint(max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw new MalformedBytes('number in a longer form than needed');
        if (value > max) throw new MalformedBytes('number out of range');
        return value;
      }
      scale *= 128;
    }
    throw new MalformedBytes('number too long');
  }

  raw(length: number): Buffer {
    if (length > this.remaining) throw new MalformedBytes('ended early');
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }

  text(maxBytes: number): string {
    const bytes = this.raw(this.varint(maxBytes));
    if (!isUtf8(bytes)) throw new MalformedBytes('text is not UTF-8');
    return bytes.toString('utf8');
  }

  hex(bytes: number): string {
    return this.raw(bytes).toString('hex');
  }

  double(): number {
    const value = this.raw(8).readDoubleLE(0);
    if (Number.isNaN(value)) throw new MalformedBytes('NaN');
    return value;
  }
}

/** Throws MalformedBytes where there is no such value. */
export function pick<T>(values: readonly T[], index: number, what: string): T {
  const value = values[index];
  if (value === undefined) throw new MalformedBytes(`unknown ${what} ${index}`);
  return value;
}

/** The order of ids in a list: that of their UTF-8 bytes, which is not JavaScript's. */
export function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
