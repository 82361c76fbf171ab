import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';

/** Length of a cluster's key. */
export const CLUSTER_KEY_BYTES = 32;

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Ids that say where something is and tell their reader nothing: encrypted and authenticated with the cluster's key, so that
 * every node of the cluster opens them and nobody else makes one. An id follows from its content (the nonce is derived from
 * it), so one thing has one id at every node.
 */
export class SealedIds {
  readonly #encryption: Buffer;
  readonly #nonces: Buffer;
  /** A key of its own for what else every node of the cluster has to name alike. */
  readonly namingKey: Uint8Array;

  /** Throws RangeError for a key that is not of {@link CLUSTER_KEY_BYTES}. */
  constructor(clusterKey: Uint8Array) {
    if (clusterKey.length !== CLUSTER_KEY_BYTES) throw new RangeError(`a cluster key has ${CLUSTER_KEY_BYTES} bytes`);
    const derived = (use: string) => Buffer.from(hkdfSync('sha256', clusterKey, '', `discedge ids: ${use}`, 32));
    this.#encryption = derived('encryption');
    this.#nonces = derived('nonces');
    this.namingKey = derived('names of texts');
  }

  /** `prefix` is part of what is authenticated: an id of one kind is none of another. */
  seal(prefix: string, content: Uint8Array): string {
    const nonce = createHmac('sha256', this.#nonces).update(prefix).update('\0').update(content).digest();
    const cipher = createCipheriv(CIPHER, this.#encryption, nonce.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    cipher.setAAD(Buffer.from(prefix));
    const sealed = [nonce.subarray(0, NONCE_BYTES), cipher.update(content), cipher.final(), cipher.getAuthTag()];
    return prefix + Buffer.concat(sealed).toString('base64url');
  }

  /**
   * What `read` makes of the content; `undefined` where it makes nothing of it, as of somebody else's, and for whatever this cluster has not
   * sealed under this prefix. Which of the two it was is not told by how long it took: each is followed by the other, with `decoy`, an id that
   * opens and is nobody's.
   */
  openFor<T>(
    prefix: string,
    id: string,
    { read, decoy }: { readonly read: (content: Uint8Array) => T | undefined; readonly decoy: string },
  ): T | undefined {
    if (!id.startsWith(prefix)) return undefined;
    const content = this.open(prefix, id);
    const opened = content && read(content);
    if (opened !== undefined) return opened;
    const other = this.open(prefix, content === undefined ? decoy : broken(decoy, prefix));
    if (other !== undefined) read(other);
    return undefined;
  }

  /** `undefined` for whatever this cluster has not sealed under this prefix. */
  open(prefix: string, id: string): Uint8Array | undefined {
    if (!id.startsWith(prefix)) return undefined;
    const text = id.slice(prefix.length);
    const bytes = Buffer.from(text, 'base64url');
    // Lenient decoding would give one thing several ids.
    if (bytes.length < NONCE_BYTES + TAG_BYTES || bytes.toString('base64url') !== text) return undefined;
    const decipher = createDecipheriv(CIPHER, this.#encryption, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(prefix));
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    try {
      const content = decipher.update(bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES));
      decipher.final();
      return content;
    } catch {
      return undefined;
    }
  }
}

/** An id like this one, which nobody has sealed. */
function broken(id: string, prefix: string): string {
  const first = id[prefix.length] === 'A' ? 'B' : 'A';
  return prefix + first + id.slice(prefix.length + 1);
}
