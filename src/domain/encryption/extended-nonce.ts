import { createCipheriv, createDecipheriv } from 'node:crypto';

/** Length of a key. */
export const KEY_BYTES = 32;
/** Long enough to be drawn at random: 2^80 values under one key come to no likely repetition. */
export const NONCE_BYTES = 24;
export const TAG_BYTES = 16;

const BLOCK_BYTES = 16;
/** Of the nonce, what GCM's own key is derived from. */
const DERIVED_FROM_BYTES = 12;
/** Values under one such key: their nonces are random, and GCM allows 2^32 of these. */
const VALUES_A_DERIVED_KEY = 2 ** 20;

/**
 * AES-256-GCM with a nonce of 24 bytes, as C2SP's XAES-256-GCM has it: its first half and the key give GCM's key (two blocks of
 * AES, NIST SP 800-108's KDF over CMAC), its second half is GCM's nonce. Both halves are random. Plain AES-256-GCM allows
 * 2^32 values with random nonces under one key, which a busy store reaches; this never does, and keeps no counter that a
 * disk brought back from a backup could set back.
 */
export class ExtendedNonceCipher {
  readonly #key: Uint8Array;
  /** CMAC's first subkey. */
  readonly #subkey: Buffer;
  /** The last that was derived: values that are written one after the other share the first half of their nonces. */
  #derived: { readonly from: Buffer; readonly key: Buffer } | undefined;

  /** Throws RangeError for a key that is not of {@link KEY_BYTES}. */
  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes`);
    this.#key = key;
    this.#subkey = doubled(encryptBlocks(key, Buffer.alloc(BLOCK_BYTES)));
  }

  /** Ciphertext and tag; `bound` is authenticated with it and not part of it. */
  seal(nonce: Uint8Array, plain: Uint8Array, bound: Uint8Array): Buffer {
    const cipher = createCipheriv('aes-256-gcm', this.#keyFor(nonce), nonce.subarray(DERIVED_FROM_BYTES));
    cipher.setAAD(bound);
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** `undefined` for whatever has not been sealed so. */
  open(nonce: Uint8Array, sealed: Uint8Array, bound: Uint8Array): Buffer | undefined {
    if (sealed.length < TAG_BYTES) return undefined;
    const options = { authTagLength: TAG_BYTES };
    const decipher = createDecipheriv('aes-256-gcm', this.#keyFor(nonce), nonce.subarray(DERIVED_FROM_BYTES), options);
    decipher.setAAD(bound);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      decipher.final();
      return plain;
    } catch {
      return undefined;
    }
  }

  #keyFor(nonce: Uint8Array): Buffer {
    if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce has ${NONCE_BYTES} bytes`);
    const from = nonce.subarray(0, DERIVED_FROM_BYTES);
    if (this.#derived?.from.equals(from) !== true)
      this.#derived = { from: Buffer.from(from), key: this.#derivedKey(from) };
    return this.#derived.key;
  }

  #derivedKey(from: Uint8Array): Buffer {
    const blocks = Buffer.alloc(2 * BLOCK_BYTES);
    for (const counter of [1, 2]) {
      const block = blocks.subarray((counter - 1) * BLOCK_BYTES, counter * BLOCK_BYTES);
      block.set([0, counter, LABEL, 0]);
      block.set(from, BLOCK_BYTES - DERIVED_FROM_BYTES);
      for (let i = 0; i < BLOCK_BYTES; i++) block[i] = (block[i] as number) ^ (this.#subkey[i] as number);
    }
    return encryptBlocks(this.#key, blocks);
  }
}

/** Nonces to seal with. Many share their first half, so that not every value has a key derived for it. */
export class Nonces {
  readonly #random: { bytes(length: number): Uint8Array };
  #first: Uint8Array = new Uint8Array(0);
  #left = 0;

  constructor(random: { bytes(length: number): Uint8Array }) {
    this.#random = random;
  }

  next(): Buffer {
    if (this.#left === 0) {
      this.#first = this.#random.bytes(DERIVED_FROM_BYTES);
      this.#left = VALUES_A_DERIVED_KEY;
    }
    this.#left--;
    return Buffer.concat([this.#first, this.#random.bytes(NONCE_BYTES - DERIVED_FROM_BYTES)], NONCE_BYTES);
  }
}

const LABEL = 'X'.charCodeAt(0);

function encryptBlocks(key: Uint8Array, blocks: Uint8Array): Buffer {
  return createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(blocks);
}

/** In GF(2^128), as CMAC doubles. */
function doubled(block: Buffer): Buffer {
  const result = Buffer.alloc(BLOCK_BYTES);
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const next = block[i + 1] ?? 0;
    result[i] = ((block[i] as number) << 1) | (next >> 7);
  }
  if ((block[0] as number) >> 7 === 1) result[BLOCK_BYTES - 1] = (result[BLOCK_BYTES - 1] as number) ^ 0x87;
  return result;
}
