import { readFile } from 'node:fs/promises';
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Clock } from '../environment/environment.ts';

/** A set of keys is read again after so long; */
const GOOD_FOR_MS = 600_000;
/** where that fails it goes on counting, until it is so old: then a key that the issuer has taken back might count for ever. */
export const STALE_FOR_MS = 3_600_000;
/** For a key that is not in the set it is read at most so often: anyone may name one. */
const MISSED_AGAIN_AFTER_MS = 30_000;
/** After a failure as well, whoever asks: an issuer that is away is not kept away by its users. */
export const FAILED_AGAIN_AFTER_MS = 5_000;
const FETCH_WAIT_MS = 5_000;
/** Sets have a few keys of some hundred bytes. */
const SET_BYTES_MAX = 1_048_576;

/** The keys cannot be had, so nothing is known of any token. */
export class KeysUnavailable extends Error {}

/** The public keys of a token issuer (RFC 7517): read when they are needed, few times, and once for all who need them then. */
export class IssuerKeys {
  readonly #read: () => Promise<unknown>;
  readonly #clock: Pick<Clock, 'monotonic'>;
  #keys: JWTVerifyGetKey | undefined;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #failure: KeysUnavailable | undefined;
  #reading: Promise<void> | undefined;

  /** `read` gives what should be a set of keys. */
  constructor(read: () => Promise<unknown>, clock: Pick<Clock, 'monotonic'>) {
    this.#read = read;
    this.#clock = clock;
  }

  /** The key that a token names. Throws {@link KeysUnavailable}, and jose's errors for a token that names none. */
  readonly keyOf: JWTVerifyGetKey = async (header, token) => {
    if (this.#ageMs >= STALE_FOR_MS) this.#keys = undefined;
    if (this.#ageMs >= GOOD_FOR_MS) await this.#readAgain(FAILED_AGAIN_AFTER_MS);
    if (this.#keys === undefined) throw this.#failure ?? new KeysUnavailable('no keys yet');
    try {
      return await this.#keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#readAgain(this.#failure === undefined ? MISSED_AGAIN_AFTER_MS : FAILED_AGAIN_AFTER_MS);
      // It may be one that the issuer has made since: that it is none is not known.
      if (this.#failure !== undefined) throw this.#failure;
      return await this.#keys(header, token);
    }
  };

  get #ageMs(): number {
    return this.#clock.monotonic() - this.#readAtMs;
  }

  /** Not so soon after the last time. While an issuer is away that had been there, nobody waits for it. */
  async #readAgain(afterMs: number): Promise<void> {
    const isSoon = this.#clock.monotonic() - this.#triedAtMs < afterMs;
    if (this.#reading === undefined && !isSoon) {
      this.#triedAtMs = this.#clock.monotonic();
      this.#reading = this.#readOnce().finally(() => {
        this.#reading = undefined;
      });
    }
    if (this.#failure === undefined || this.#keys === undefined) await this.#reading;
  }

  async #readOnce(): Promise<void> {
    try {
      this.#keys = createLocalJWKSet((await this.#read()) as JSONWebKeySet);
      this.#readAtMs = this.#clock.monotonic();
      this.#failure = undefined;
    } catch (cause) {
      this.#failure = new KeysUnavailable('the keys of the token issuer cannot be had', { cause });
    }
  }
}

export async function keysInFile(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, 'utf8'));
}

/** Throws where they do not come at once, whole, and from there. */
export async function keysAt(url: string): Promise<unknown> {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(FETCH_WAIT_MS) });
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > SET_BYTES_MAX) throw new RangeError(`more than ${SET_BYTES_MAX} bytes`);
    pieces.push(piece);
  }
  if (response.status !== 200) throw new TypeError(`status ${response.status}`);
  return JSON.parse(Buffer.concat(pieces).toString('utf8'));
}
