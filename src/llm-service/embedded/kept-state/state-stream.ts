import { type ExtendedNonceCipher, NONCE_BYTES, TAG_BYTES } from '../../../domain/encryption/extended-nonce.ts';

/** Sealed at once: nobody waits longer for the event loop than for one of them. */
export const PIECE_BYTES = 2 ** 20;
/** What a stream begins with. */
export const PREFIX_BYTES = NONCE_BYTES - 5;

/**
 * A long value in pieces, each of which opens in its place in its stream alone: the STREAM construction (Hoang, Reyhanitabar, Rogaway,
 * Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015) over XAES-256-GCM. A piece's nonce is
 * the stream's random prefix of 152 bits, the piece's number, and whether it is the last: so pieces cannot be reordered, left
 * out, cut off, or put into another stream. 2^32 pieces are more than any state has.
 */
export class StateStream {
  readonly #cipher: ExtendedNonceCipher;
  readonly #prefix: Uint8Array;
  readonly #bound: Uint8Array;

  /** `prefix`: never used before with that key. `bound`: what is authenticated with each piece. */
  constructor(cipher: ExtendedNonceCipher, prefix: Uint8Array, bound: Uint8Array) {
    this.#cipher = cipher;
    this.#prefix = prefix;
    this.#bound = bound;
  }

  seal(piece: number, isLast: boolean, plain: Uint8Array): Buffer {
    return this.#cipher.seal(this.#nonce(piece, isLast), plain, this.#bound);
  }

  /** Throws for whatever has not been sealed so. */
  open(piece: number, isLast: boolean, sealed: Uint8Array): Buffer {
    const plain = this.#cipher.open(this.#nonce(piece, isLast), sealed, this.#bound);
    if (plain === undefined) throw new Error('the state file is not what was sealed');
    return plain;
  }

  #nonce(piece: number, isLast: boolean): Buffer {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.set(this.#prefix);
    nonce.writeUInt32BE(piece, PREFIX_BYTES);
    nonce.writeUInt8(isLast ? 1 : 0, NONCE_BYTES - 1);
    return nonce;
  }
}

export const piecesOf = (bytes: number) => Math.ceil(bytes / PIECE_BYTES);
/** What so many bytes take in pieces. */
export const sealedBytes = (bytes: number) => bytes + piecesOf(bytes) * TAG_BYTES;
/** How many bytes there are in pieces that take so many. */
export const plainBytes = (sealed: number) => sealed - Math.ceil(sealed / (PIECE_BYTES + TAG_BYTES)) * TAG_BYTES;
