import { MalformedBytes } from '../../../domain/bytes.ts';
import { TOKEN_ID_MAX, type TokenId, type TokenSequence } from '../../../domain/token-sequence.ts';
import { RangeDecoder, RangeEncoder } from './range-coder.ts';

/**
 * Ids as few bytes, given the ids before them that the reader knows as well: prediction by partial matching with what
 * followed the id before, what was seen at all, and how likely a new id is by its number alone. About 1.3 bytes an id of
 * prose or code on a vocabulary of 150,000 (docs/protocol.md); needs no vocabulary and no trained table.
 */
export function compressIds(ids: TokenSequence, known: TokenSequence): Uint8Array {
  const model = new TokenModel(known);
  const encoder = new RangeEncoder();
  for (const id of ids) {
    if (!(Number.isInteger(id) && id >= 0 && id <= TOKEN_ID_MAX)) throw new RangeError('a token id out of range');
    model.write(id, encoder);
    model.see(id);
  }
  return encoder.finish();
}

/** Fewer bytes than this for so many ids are not asked to be read: a few bytes must not become a long sequence. */
export const IDS_PER_BYTE_MAX = 32;

/** Reverses {@link compressIds}; throws MalformedBytes for more ids than so few bytes may hold. */
export function decompressIds(bytes: Uint8Array, count: number, known: TokenSequence): TokenId[] {
  if (count > bytes.length * IDS_PER_BYTE_MAX) throw new MalformedBytes('more ids announced than bytes left');
  const model = new TokenModel(known);
  const decoder = new RangeDecoder(bytes);
  const ids = new Array<TokenId>(count);
  for (let i = 0; i < count; i++) {
    const id = model.read(decoder);
    if (id > TOKEN_ID_MAX) throw new MalformedBytes('a token id out of range');
    model.see(id);
    ids[i] = id;
  }
  return ids;
}

/** Distinct ids that are kept: bounds the search for one. Those that come later are coded as new each time. */
const PLACES_MAX = 4_096;
/** Of the known ids, those nearest to the end: more take time and hardly make a difference. */
const KNOWN_IDS_MAX = 512;

/*
 * Weights. Seen n times in all, T different ones: an id seen c times has 2c − 1 of 2n + 200, a new one T + 200 (Pitman and
 * Yor's discount 0.5, strength 100). After one id: 4c − 3 of 4n + 2, something else 3T + 2. Tried on chat, prose and code.
 */
const NEW_WEIGHT = 200;
const ELSE_WEIGHT = 2;

/** Followers of one id that are kept, of up to thousands: what came later is foretold as seen or new. */
const FOLLOWERS_MAX = 64;

/** What has followed one id, and how often. */
interface Followers {
  readonly places: number[];
  readonly counts: number[];
  /** Of their weights and that of something else. */
  total: number;
}

const NONE: Followers = { places: [], counts: [], total: ELSE_WEIGHT };

class TokenModel {
  readonly #places = new Map<TokenId, number>();
  readonly #ids: TokenId[] = [];
  readonly #counts: number[] = [];
  #seen = 0;
  readonly #followers: (Followers | undefined)[] = [];
  /** Place of the id before; `undefined` for one that has none. */
  #before: number | undefined;

  constructor(known: TokenSequence) {
    for (let i = Math.max(0, known.length - KNOWN_IDS_MAX); i < known.length; i++) this.see(known[i] as TokenId);
  }

  see(id: TokenId): void {
    let place = this.#places.get(id);
    if (place !== undefined) this.#counts[place] = (this.#counts[place] as number) + 1;
    else if (this.#ids.length < PLACES_MAX) {
      place = this.#ids.length;
      this.#places.set(id, place);
      this.#ids.push(id);
      this.#counts.push(1);
    }
    if (place !== undefined) {
      this.#seen++;
      if (this.#before !== undefined) this.#noteFollower(this.#before, place);
    }
    this.#before = place;
  }

  write(id: TokenId, encoder: RangeEncoder): void {
    const place = this.#places.get(id);
    if (this.#writeAsFollower(place, encoder) || this.#writeAsSeen(place, encoder)) return;
    writeNew(id, encoder);
  }

  read(decoder: RangeDecoder): TokenId {
    const place = this.#readAsFollower(decoder) ?? this.#readAsSeen(decoder);
    return place === undefined ? readNew(decoder) : (this.#ids[place] as TokenId);
  }

  #writeAsFollower(place: number | undefined, encoder: RangeEncoder): boolean {
    const { places, counts, total } = this.#followersNow();
    let start = 0;
    for (let i = 0; i < places.length; i++) {
      const weight = 4 * (counts[i] as number) - 3;
      if (places[i] === place) {
        encoder.write(start, weight, total);
        return true;
      }
      start += weight;
    }
    encoder.write(start, total - start, total);
    return false;
  }

  #readAsFollower(decoder: RangeDecoder): number | undefined {
    const { places, counts, total } = this.#followersNow();
    const at = decoder.peek(total);
    let start = 0;
    for (let i = 0; i < places.length; i++) {
      const weight = 4 * (counts[i] as number) - 3;
      if (at < start + weight) {
        decoder.take(start, weight, total);
        return places[i];
      }
      start += weight;
    }
    decoder.take(start, total - start, total);
    return undefined;
  }

  #writeAsSeen(place: number | undefined, encoder: RangeEncoder): boolean {
    const total = 2 * this.#seen + NEW_WEIGHT;
    if (place === undefined) {
      const start = this.#seenWeight();
      encoder.write(start, total - start, total);
      return false;
    }
    const counts = this.#counts;
    let start = 0;
    for (let i = 0; i < place; i++) start += 2 * (counts[i] as number) - 1;
    encoder.write(start, 2 * (counts[place] as number) - 1, total);
    return true;
  }

  #readAsSeen(decoder: RangeDecoder): number | undefined {
    const total = 2 * this.#seen + NEW_WEIGHT;
    const at = decoder.peek(total);
    const seenWeight = this.#seenWeight();
    if (at >= seenWeight) {
      decoder.take(seenWeight, total - seenWeight, total);
      return undefined;
    }
    const counts = this.#counts;
    let place = 0;
    let start = 0;
    for (let weight = 2 * (counts[0] as number) - 1; at >= start + weight; ) {
      start += weight;
      weight = 2 * (counts[++place] as number) - 1;
    }
    decoder.take(start, 2 * (counts[place] as number) - 1, total);
    return place;
  }

  /** Of all that has been seen, together. */
  #seenWeight(): number {
    return 2 * this.#seen - this.#ids.length;
  }

  #followersNow(): Followers {
    return this.#before === undefined ? NONE : (this.#followers[this.#before] ?? NONE);
  }

  #noteFollower(before: number, place: number): void {
    let followers = this.#followers[before];
    if (followers === undefined) {
      followers = { places: [], counts: [], total: ELSE_WEIGHT };
      this.#followers[before] = followers;
    }
    const { places, counts } = followers;
    let i = 0;
    while (i < places.length && places[i] !== place) i++;
    if (i === FOLLOWERS_MAX) return;
    followers.total += 4;
    if (i < places.length) counts[i] = (counts[i] as number) + 1;
    else {
      places.push(place);
      counts.push(1);
    }
  }
}

/*
 * A new id by its number: byte-pair vocabularies are roughly sorted by frequency. Each half octave above 16 has a weight,
 * as measured on prose and code with the Qwen2 vocabulary, and within it all ids are alike.
 */
const HALF_OCTAVE_WEIGHTS = [
  5,
  14,
  21,
  3,
  11,
  5,
  2,
  4,
  64,
  56,
  78,
  46,
  74,
  55,
  73,
  54,
  83,
  46,
  72,
  44,
  57,
  35,
  42,
  26,
  32,
  16,
  12,
  6,
  ...new Array<number>(28).fill(1),
];
const HALF_OCTAVE_STARTS = HALF_OCTAVE_WEIGHTS.map((_, i) =>
  HALF_OCTAVE_WEIGHTS.slice(0, i).reduce((sum, weight) => sum + weight, 0),
);
const HALF_OCTAVES_TOTAL = HALF_OCTAVE_WEIGHTS.reduce((sum, weight) => sum + weight, 0);
const OFFSET = 16;
const BITS_AT_ONCE = 16;

function writeNew(id: TokenId, encoder: RangeEncoder): void {
  const value = id + OFFSET;
  const octave = 31 - Math.clz32(value);
  const half = 2 * (octave - 4) + ((value >>> (octave - 1)) & 1);
  encoder.write(HALF_OCTAVE_STARTS[half] as number, HALF_OCTAVE_WEIGHTS[half] as number, HALF_OCTAVES_TOTAL);
  for (let bits = octave - 1; bits > 0; ) {
    const now = Math.min(bits, BITS_AT_ONCE);
    bits -= now;
    encoder.write((value >>> bits) & (2 ** now - 1), 1, 2 ** now);
  }
}

function readNew(decoder: RangeDecoder): TokenId {
  const at = decoder.peek(HALF_OCTAVES_TOTAL);
  let half = 0;
  while (at >= (HALF_OCTAVE_STARTS[half] as number) + (HALF_OCTAVE_WEIGHTS[half] as number)) half++;
  decoder.take(HALF_OCTAVE_STARTS[half] as number, HALF_OCTAVE_WEIGHTS[half] as number, HALF_OCTAVES_TOTAL);
  let value = 2 + (half & 1);
  for (let bits = (half >>> 1) + 3; bits > 0; ) {
    const now = Math.min(bits, BITS_AT_ONCE);
    bits -= now;
    const part = decoder.peek(2 ** now);
    decoder.take(part, 1, 2 ** now);
    value = value * 2 ** now + part;
  }
  return (value - OFFSET) as TokenId;
}
