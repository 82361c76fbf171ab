import { type Cipher, createCipheriv, createHash } from 'node:crypto';

/** A row's worth of zeros, encrypted again and again. */
const ZEROS = Buffer.alloc(1 << 20);

/**
 * An endless sequence of evenly distributed bytes that `seed` and `label` determine, on every machine alike: AES in
 * counter mode, which the platform does at gigabytes a second.
 */
export class SeededBytes {
  readonly #cipher: Cipher;

  constructor(seed: number, label: string) {
    const key = createHash('sha256').update(`discedge shaped model\n${seed}\n${label}`).digest();
    this.#cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16, 32));
  }

  /** Overwrites `target` with the next bytes. */
  fill(target: Uint8Array): void {
    for (let at = 0; at < target.length; at += ZEROS.length) {
      target.set(this.#cipher.update(ZEROS.subarray(0, Math.min(ZEROS.length, target.length - at))), at);
    }
  }
}
