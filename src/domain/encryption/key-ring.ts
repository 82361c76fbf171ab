import { createHmac, hkdfSync } from 'node:crypto';
import { KEY_BYTES } from './extended-nonce.ts';

/** Keys that a node may be given: rotating again before the last rotation is done needs three. */
export const RING_KEYS_MAX = 16;

const ID_BYTES = 4;

/** A key that files are encrypted with. Nothing is encrypted with it itself, but with what is derived from it for one use. */
export class EncryptionKey {
  /** Eight hex digits that tell keys apart, and nothing of the key. */
  readonly id: string;
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    if (secret.length !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes`);
    this.#secret = secret;
    this.id = this.derive('id').toString('hex', 0, ID_BYTES);
  }

  /** A key for one use, of {@link KEY_BYTES}. */
  derive(use: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#secret, '', `discedge at rest: ${use}`, KEY_BYTES));
  }
}

/** What a node's files are encrypted with: new ones with the first key, and what any of them has sealed can be read. */
export interface KeyRing {
  /** `undefined` where files are to be in the clear again. */
  readonly current: EncryptionKey | undefined;
  /** All, the current one first. */
  readonly keys: readonly EncryptionKey[];
}

/** Reads a key a line, 64 hex digits each, the current one first. A problem says what is wrong and repeats nothing of it. */
export function readKeyRing(text: string): KeyRing | { readonly problem: string } {
  const words = text.split(/[\s,]+/).filter((word) => word !== '');
  if (words.length === 0) return { problem: 'holds no key' };
  if (words.length > RING_KEYS_MAX) return { problem: `holds more than ${RING_KEYS_MAX} keys` };
  if (!words.every((word) => word.length === 2 * KEY_BYTES && /^[0-9a-fA-F]+$/.test(word)))
    return {
      problem: `has to hold keys of ${2 * KEY_BYTES} hex digits, one a line, as "discedge encryption new-key" makes them`,
    };
  const keys = words.map((word) => new EncryptionKey(Buffer.from(word, 'hex')));
  if (new Set(keys.map(({ id }) => id)).size < keys.length) return { problem: 'holds a key twice' };
  return { current: keys[0], keys };
}

/** The keys of a ring, with which nothing new is sealed. */
export function onlyToRead({ keys }: KeyRing): KeyRing {
  return { current: undefined, keys };
}

/** A new key as its line has it. */
export function newEncryptionKey(random: { bytes(length: number): Uint8Array }): string {
  return `${Buffer.from(random.bytes(KEY_BYTES)).toString('hex')}\n`;
}

/** What stands for a text where others may see it, and tells nothing of it to whoever has not the key. */
export function blindedBy(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex').slice(0, 32);
}
