/** A key's parts in order: texts without control characters, and whole numbers that are not negative. */
export type KeyParts = readonly (string | number)[];

/** Larger than the largest key: identifiers are short (`ID_BYTES_MAX`). */
const KEY_BYTES_MAX = 1_024;
/** Below every byte of a text, so that a text comes before those that it begins. */
const END_OF_TEXT = 0;
const NUMBER_BYTES = 8;
const HALF = 0x1_0000_0000;

const scratch = Buffer.allocUnsafe(KEY_BYTES_MAX);

/** Bytes that sort as the parts do, texts by their UTF-8. The first parts of a key give the first bytes of its own. */
export function encodeKey(table: number, parts: KeyParts): Uint8Array {
  let at = scratch.writeUInt8(table, 0);
  for (const part of parts) {
    if (typeof part === 'string') {
      at += scratch.write(part, at);
      at = scratch.writeUInt8(END_OF_TEXT, at);
    } else {
      at = scratch.writeUInt32BE(Math.floor(part / HALF), at);
      at = scratch.writeUInt32BE(part % HALF, at);
    }
  }
  return new Uint8Array(scratch.subarray(0, at));
}

/** Follows every key that begins with these parts. */
export function encodeKeyEnd(table: number, parts: KeyParts): Uint8Array {
  const start = encodeKey(table, parts);
  const end = new Uint8Array(start.length + 1).fill(0xff);
  end.set(start);
  return end;
}

/** The parts of a whole key; `shape` has a letter for each, `t` for a text and `n` for a number. */
export function decodeKey(bytes: Uint8Array, shape: string): (string | number)[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 1;
  return [...shape].map((kind) => {
    if (kind === 'n') {
      const number = buffer.readUInt32BE(at) * HALF + buffer.readUInt32BE(at + 4);
      at += NUMBER_BYTES;
      return number;
    }
    const end = buffer.indexOf(END_OF_TEXT, at);
    if (end < 0) throw new RangeError('a damaged key');
    const text = buffer.toString('utf8', at, end);
    at = end + 1;
    return text;
  });
}
