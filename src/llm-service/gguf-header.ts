import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** The largest vocabularies, with their merges, take 30 MB. */
const HEADER_BYTES_MAX = 256 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;
/** Lists of lists are in no model; this many are let through. */
const NESTING_MAX = 4;

const STRING = 8;
const ARRAY = 9;
/** Bytes of GGUF's types of fixed length (GGUF specification). */
const FIXED_BYTES: Readonly<Record<number, number>> = {
  ...{ 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 },
};

/** The header says of itself what cannot be. */
class BadHeader extends Error {}

/**
 * Whether a GGUF file's metadata and the places of its tensors are all within it, as its counts and lengths say. Reads nothing
 * into memory but a piece at a time: a library that believes a count that is not so reads on for ever, or makes room for it.
 */
export function isHeaderWhole(file: number, fileBytes: number): boolean {
  try {
    new HeaderWalk(file, Math.min(fileBytes, HEADER_BYTES_MAX)).walk();
    return true;
  } catch (error) {
    if (error instanceof BadHeader) return false;
    throw error;
  }
}

/** The same of the file at this path. Throws what the file system does. */
export function isHeaderWholeAt(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    return isHeaderWhole(file, fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}

class HeaderWalk {
  readonly #file: number;
  readonly #end: number;
  #piece = Buffer.alloc(0);
  #pieceAt = 0;
  /** Behind magic and version. */
  #at = 8;

  constructor(file: number, end: number) {
    this.#file = file;
    this.#end = end;
  }

  walk(): void {
    const [tensors, entries] = [this.#length(), this.#length()];
    for (let left = entries; left > 0; left--) {
      this.#skip(this.#length());
      this.#skipValue(this.#number(4), 0);
    }
    for (let left = tensors; left > 0; left--) {
      this.#skip(this.#length());
      this.#skip(this.#number(4) * 8);
      this.#skip(4 + 8);
    }
  }

  #skipValue(type: number, nesting: number): void {
    const fixed = FIXED_BYTES[type];
    if (fixed !== undefined) this.#skip(fixed);
    else if (type === STRING) this.#skip(this.#length());
    else if (type === ARRAY && nesting < NESTING_MAX) this.#skipList(nesting);
    else throw new BadHeader(`type ${type}`);
  }

  #skipList(nesting: number): void {
    const type = this.#number(4);
    const count = this.#length();
    const fixed = FIXED_BYTES[type];
    if (fixed !== undefined) this.#skip(count * fixed);
    else for (let left = count; left > 0; left--) this.#skipValue(type, nesting + 1);
  }

  #length(): number {
    return this.#number(8);
  }

  /** Imprecise beyond 2⁵³, where it is longer than any file all the same. */
  #number(bytes: 4 | 8): number {
    const at = this.#at;
    this.#skip(bytes);
    if (at < this.#pieceAt || at + bytes > this.#pieceAt + this.#piece.length) this.#readAt(at);
    const place = at - this.#pieceAt;
    const low = this.#piece.readUInt32LE(place);
    return bytes === 4 ? low : low + this.#piece.readUInt32LE(place + 4) * 2 ** 32;
  }

  #skip(bytes: number): void {
    this.#at += bytes;
    if (this.#at > this.#end) throw new BadHeader('goes on behind the end of the file');
  }

  #readAt(at: number): void {
    const buffer = Buffer.alloc(Math.min(PIECE_BYTES, this.#end - at));
    const bytesRead = readSync(this.#file, buffer, 0, buffer.length, at);
    if (bytesRead < Math.min(8, buffer.length)) throw new BadHeader('ends early');
    [this.#piece, this.#pieceAt] = [buffer.subarray(0, bytesRead), at];
  }
}
