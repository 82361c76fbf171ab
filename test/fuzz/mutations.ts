import type { Chance } from '../../tools/chance.ts';
import { changedJson } from './json-mutations.ts';

export interface MutationParts {
  readonly chance: Chance;
  /** Other inputs, to take pieces of. */
  readonly others: readonly Buffer[];
  readonly words: readonly string[];
  readonly isJson: boolean;
  readonly bytesMax: number;
}

const CHANGES_MAX = 5;
const PIECE_BYTES_MAX = 64;
const TIMES_MAX = 200;
const BYTES = [0, 1, 0x20, 0x22, 0x2e, 0x7f, 0x80, 0xc0, 0xff];
/** Borders of numbers, as a varint and as fixed widths have them. */
const NUMBERS = [0, 1, 127, 128, 255, 256, 32_767, 32_768, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
const LONG_VARINTS = ['ffffffffffffff7f', 'ffffffffffffffffff01', '8000', '80808080808080808000'].map((digits) =>
  Buffer.from(digits, 'hex'),
);
const DIGITS = [
  '0',
  '-1',
  '1e308',
  '-0',
  '9007199254740993',
  '4294967296',
  '1e-7',
  '00',
  '18446744073709551616',
  'NaN',
];
/** What text readers stumble over. */
const CHARACTERS = [
  '\u0000',
  '\ud800',
  '\u202e',
  '\ufeff',
  '👩‍👩‍👧',
  '\r\n',
  '\\',
  '"',
  "'",
  '%',
  '\u2028',
  'ﬀ',
  '..',
  '/',
];

/** Another input, a few changes away from this one. */
export function mutated(input: Buffer, parts: MutationParts): Buffer {
  const { chance, isJson, bytesMax } = parts;
  let bytes = input;
  for (let changes = 1 + chance.below(CHANGES_MAX); changes > 0; changes--) {
    const asJson = isJson && !chance.oneIn(4) ? changedJson(bytes, parts) : undefined;
    bytes = (asJson ?? changedBytes(bytes, parts)).subarray(0, bytesMax);
  }
  return bytes;
}

function changedBytes(bytes: Buffer, { chance, others, words }: MutationParts): Buffer {
  const at = chance.below(bytes.length + 1);
  const length = Math.min(1 + chance.below(PIECE_BYTES_MAX), bytes.length - at);
  const replaced = (piece: Uint8Array, taken: number) =>
    Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + taken)]);
  return chance.weighted<() => Buffer>([
    [4, () => replaced(Buffer.of((bytes[at] ?? 0) ^ (1 << chance.below(8))), 1)],
    [3, () => replaced(Buffer.of(chance.oneIn(2) ? chance.below(256) : chance.of(BYTES)), chance.below(2))],
    [2, () => replaced(Buffer.alloc(0), length)],
    [2, () => replaced(repeated(bytes.subarray(at, at + length), chance), 0)],
    [2, () => replaced(numberBytes(chance), chance.below(9))],
    [2, () => withOtherNumber(bytes, chance)],
    [2, () => replaced(Buffer.from(chance.of(CHARACTERS)), chance.below(2))],
    [words.length === 0 ? 0 : 4, () => replaced(Buffer.from(chance.of(words)), chance.oneIn(2) ? 0 : length)],
    [2, () => replaced(pieceOf(chance.of(others), chance), chance.oneIn(2) ? 0 : length)],
    [1, () => Buffer.concat([bytes.subarray(0, at), pieceOf(chance.of(others), chance, Number.POSITIVE_INFINITY)])],
  ])();
}

function repeated(piece: Buffer, chance: Chance): Buffer {
  const times = chance.oneIn(4) ? 1 + chance.below(TIMES_MAX) : 1;
  return Buffer.concat(Array.from({ length: times }, () => piece));
}

function pieceOf(bytes: Buffer, chance: Chance, bytesMax = PIECE_BYTES_MAX): Buffer {
  const at = chance.below(bytes.length + 1);
  return bytes.subarray(at, at + Math.min(1 + chance.below(bytes.length + 1), bytesMax));
}

function numberBytes(chance: Chance): Buffer {
  if (chance.oneIn(3)) return chance.of(LONG_VARINTS);
  const number = chance.of(NUMBERS);
  const bytes = Buffer.alloc(4);
  if (chance.oneIn(2)) bytes.writeUInt32LE(number);
  else bytes.writeUInt32BE(number);
  return chance.oneIn(2) ? bytes : bytes.subarray(chance.below(4));
}

/** Another number where one stands in digits. */
function withOtherNumber(bytes: Buffer, chance: Chance): Buffer {
  const text = bytes.toString('latin1');
  const found = [...text.matchAll(/\d+/g)];
  if (found.length === 0) return bytes;
  const { 0: digits, index } = chance.of(found);
  return Buffer.from(text.slice(0, index) + chance.of(DIGITS) + text.slice(index + digits.length), 'latin1');
}
