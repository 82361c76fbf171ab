/** A key of a GGUF file and its value. */
export interface MetadataEntry {
  readonly key: string;
  /** Type number and value, as they lie in a file. */
  readonly encoded: Buffer;
}

/** The bytes end before the metadata does. */
export class MetadataIncomplete extends Error {
  override readonly name = 'MetadataIncomplete';
}

/** GGUF's numbers for the types of metadata that are made or looked into. */
export const METADATA_TYPE = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

/** Bytes of the types of fixed size, by their number. */
const SCALAR_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];
const READABLE_VERSIONS = [2, 3];

/**
 * The metadata of a GGUF file, of which `bytes` is the beginning. Throws `MetadataIncomplete`, or an error whose message
 * says what the file is or has.
 */
export function readMetadata(bytes: Buffer): MetadataEntry[] {
  const reader = new Reader(bytes);
  if (reader.take(4).toString('latin1') !== 'GGUF') throw new Error('is not a GGUF file');
  const version = reader.uint32();
  if (!READABLE_VERSIONS.includes(version)) throw new Error(`is GGUF version ${version}; convert it to version 3`);
  reader.count();
  const entries: MetadataEntry[] = [];
  for (let left = reader.count(); left > 0; left--) {
    const key = reader.string().toString();
    const start = reader.at;
    reader.skipValue(reader.uint32());
    entries.push({ key, encoded: bytes.subarray(start, reader.at) });
  }
  return entries;
}

/** The strings of a list of strings, or `undefined` where the value is something else. */
export function stringsOf({ encoded }: MetadataEntry): string[] | undefined {
  const reader = new Reader(encoded);
  if (reader.uint32() !== METADATA_TYPE.array || reader.uint32() !== METADATA_TYPE.string) return undefined;
  return Array.from({ length: reader.count() }, () => reader.string().toString());
}

/** The numbers of a list of 32-bit integers, or `undefined` where the value is something else. */
export function integersOf({ encoded }: MetadataEntry): number[] | undefined {
  const reader = new Reader(encoded);
  if (reader.uint32() !== METADATA_TYPE.array) return undefined;
  const type = reader.uint32();
  if (type !== METADATA_TYPE.uint32 && type !== METADATA_TYPE.int32) return undefined;
  return Array.from({ length: reader.count() }, () => reader.uint32());
}

class Reader {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(length: number): Buffer {
    const end = this.at + length;
    if (end > this.#bytes.length) throw new MetadataIncomplete();
    const taken = this.#bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  uint32(): number {
    return this.take(4).readUInt32LE();
  }

  /** A 64-bit count or length. One that no file can hold reads as the end of the file, which it is beyond. */
  count(): number {
    return Number(this.take(8).readBigUInt64LE());
  }

  string(): Buffer {
    return this.take(this.count());
  }

  skipValue(type: number): void {
    if (type === METADATA_TYPE.string) {
      this.string();
    } else if (type === METADATA_TYPE.array) {
      const itemType = this.uint32();
      // llama.cpp reads no lists of lists either, and nested a million deep they would end the process.
      if (itemType === METADATA_TYPE.array) throw new Error('has lists of lists as metadata');
      const length = this.count();
      const itemBytes = SCALAR_BYTES[itemType];
      if (itemBytes !== undefined) this.take(length * itemBytes);
      else for (let left = length; left > 0; left--) this.skipValue(itemType);
    } else {
      const bytes = SCALAR_BYTES[type];
      if (bytes === undefined) throw new Error(`has metadata of the unknown type ${type}`);
      this.take(bytes);
    }
  }
}
