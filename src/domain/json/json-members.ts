import { isUtf8 } from 'node:buffer';
import { DiscedgeError } from '../errors.ts';

/** One member of an object, or one element of the list that was asked for. */
export interface JsonMember {
  readonly name: string;
  /** `undefined`: it was more than it might be, and was passed over. */
  readonly value: unknown;
}

export interface JsonMembersOptions {
  /** The member whose elements are told one by one, in place of the member. */
  readonly list: string;
  /** What one of that name may be, of the list each element: it is held in memory as a whole. Of a name without any, nothing is told. */
  readonly boundsOf: (name: string) => JsonBounds | undefined;
}

export interface JsonBounds {
  readonly bytesMax: number;
  /**
   * Of what a parser makes of it, however short it is as JSON: a number weighs 1, some 24 bytes of memory, and a text, an object or a list
   * 3 beside. Counted are commas, and what opens the others.
   */
  readonly weightMax: number;
}

/** Of a member's name: nobody reads one that is longer. */
const NAME_BOUNDS: JsonBounds = { bytesMax: 1_024, weightMax: 3 };
/** For what nobody reads. */
const NONE_OF_IT: JsonBounds = { bytesMax: 0, weightMax: 0 };

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
const SPACES: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);
const NOTHING = new Uint8Array();

/**
 * The members of a JSON object of any length, as its bytes come, one in memory at a time. Throws `invalid_request` for what is no object
 * in JSON and UTF-8, or has no list of that name, and what the source throws.
 */
export async function* jsonMembers(
  source: AsyncIterator<Uint8Array>,
  { list, boundsOf }: JsonMembersOptions,
): AsyncGenerator<JsonMember, void, undefined> {
  const json = new JsonBytes(source);
  let hasList = false;
  await json.require(OPEN_OBJECT);
  if (!(await json.takes(CLOSE_OBJECT))) {
    do {
      if ((await json.peek()) !== QUOTE) throw malformed();
      const name = (await json.value(NAME_BOUNDS)) as string | undefined;
      const bounds = name === undefined ? undefined : boundsOf(name);
      await json.require(COLON);
      hasList ||= name === list;
      if (name === undefined || bounds === undefined) await json.value(NONE_OF_IT);
      else if (name === list) yield* elements(json, name, bounds);
      else yield { name, value: await json.value(bounds) };
    } while (await json.takes(COMMA));
    await json.require(CLOSE_OBJECT);
  }
  if (!hasList || (await json.peek()) !== undefined) throw malformed();
}

async function* elements(
  json: JsonBytes,
  name: string,
  bounds: JsonBounds,
): AsyncGenerator<JsonMember, void, undefined> {
  await json.require(OPEN_LIST);
  if (await json.takes(CLOSE_LIST)) return;
  do yield { name, value: await json.value(bounds) };
  while (await json.takes(COMMA));
  await json.require(CLOSE_LIST);
}

/** Where a reader stands in JSON that comes in chunks. */
class JsonBytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = NOTHING;
  #at = 0;

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  /** The next byte that is no space; `undefined` at the end. */
  async peek(): Promise<number | undefined> {
    for (;;) {
      while (SPACES.has(this.#chunk[this.#at])) this.#at++;
      if (this.#at < this.#chunk.length) return this.#chunk[this.#at];
      if (!(await this.#comes())) return undefined;
    }
  }

  /** Goes past the byte, if it is the next. */
  async takes(byte: number): Promise<boolean> {
    if ((await this.peek()) !== byte) return false;
    this.#at++;
    return true;
  }

  async require(byte: number): Promise<void> {
    if (!(await this.takes(byte))) throw malformed();
  }

  /** The next value; `undefined` for one that is more than it may be, of which nothing is kept, nor parsed. */
  async value({ bytesMax, weightMax }: JsonBounds): Promise<unknown> {
    await this.peek();
    const end = new ValueEnd();
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    const isTooMuch = () => bytes > bytesMax || end.weight > weightMax;
    for (let isWhole = false; !isWhole; ) {
      if (this.#at === this.#chunk.length && !(await this.#comes())) break;
      const from = this.#at;
      this.#at = end.within(this.#chunk, from);
      isWhole = end.isReached;
      bytes += this.#at - from;
      if (isTooMuch()) pieces.length = 0;
      else pieces.push(this.#chunk.subarray(from, this.#at));
    }
    if (bytes === 0 || !end.isReached) throw malformed();
    return isTooMuch() ? undefined : parsed(Buffer.concat(pieces));
  }

  async #comes(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done === true) return false;
    this.#chunk = value;
    this.#at = 0;
    return true;
  }
}

/** Finds where a value ends that begins with the first byte it is given. What is in between is for the parser to judge. */
class ValueEnd {
  isReached = false;
  /** See {@link JsonBounds.weightMax}. */
  weight = 0;
  #depth = 0;
  #isInText = false;
  #isEscaped = false;

  /** The place in the chunk after the value's last byte there. */
  within(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.#isInText) this.#inText(byte);
      else if (this.#isAfter(byte)) {
        this.isReached = true;
        return at;
      } else this.#between(byte);
      if (this.isReached) return at + 1;
    }
    return chunk.length;
  }

  #inText(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE) {
      this.#isInText = false;
      this.isReached = this.#depth === 0;
    }
  }

  /** Whether the byte is the first that is not of a number or a name, which have no end of their own. */
  #isAfter(byte: number): boolean {
    if (this.#depth > 0) return false;
    return byte === COMMA || byte === CLOSE_OBJECT || byte === CLOSE_LIST || SPACES.has(byte);
  }

  #between(byte: number): void {
    if (byte === COMMA) this.weight++;
    else if (byte === QUOTE || byte === OPEN_OBJECT || byte === OPEN_LIST) this.weight += 3;
    if (byte === QUOTE) this.#isInText = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_LIST) this.#depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
      this.#depth--;
      this.isReached = this.#depth === 0;
    }
  }
}

function parsed(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new DiscedgeError('invalid_request', 'the body is not UTF-8');
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw malformed();
  }
}

function malformed(): DiscedgeError {
  return new DiscedgeError('invalid_request', 'the body is not valid JSON, or not the object that it should be');
}
