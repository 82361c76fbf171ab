import { ExtendedNonceCipher, NONCE_BYTES, Nonces } from '../../../domain/encryption/extended-nonce.ts';
import type { KeyRing } from '../../../domain/encryption/key-ring.ts';
import { blindedBy, type EncryptionKey } from '../../../domain/encryption/key-ring.ts';
import type { Random } from '../../../environment/environment.ts';

/** First byte of a sealed row. No record, and no row of JSON, begins so. */
const SEALED = 0xee;
const ID_BYTES = 4;
const HEADER_BYTES = 1 + ID_BYTES + NONCE_BYTES;

/** How a row lies in the database: the id of the key that it is sealed with, or in the clear. */
export type RowForm = string;
export const IN_THE_CLEAR: RowForm = 'clear';

/** How rows that hold contents lie in the database. */
export interface RowSeal {
  /** `key` is the row's own: sealed under one, a row opens under no other. */
  seal(row: Uint8Array, key: Uint8Array): Uint8Array;
  /** `undefined` for what was not sealed so, with one of the keys. */
  open(bytes: Uint8Array, key: Uint8Array): Uint8Array | undefined;
  /** What stands in a key for a digest of contents. */
  blind(digest: string): string;
  /** The same in each form that rows may still have; the newest comes first. */
  blindEach(digest: string): readonly string[];
}

/** Of a store without encryption. What is sealed opens for nobody. */
export const UNSEALED: RowSeal = {
  seal: (row) => row,
  open: (bytes) => (bytes[0] === SEALED ? undefined : bytes),
  blind: (digest) => digest,
  blindEach: (digest) => [digest],
};

export function formOf(bytes: Uint8Array): RowForm {
  return bytes[0] === SEALED ? Buffer.from(bytes.subarray(1, 1 + ID_BYTES)).toString('hex') : IN_THE_CLEAR;
}

interface KeyedCipher {
  readonly id: Buffer;
  readonly cipher: ExtendedNonceCipher;
  readonly blinding: Buffer;
}

/** Rows sealed with the keys of a ring: written with the current one, or in the clear where there is none. */
export class KeyedRowSeal implements RowSeal {
  /** Of what is written. */
  readonly form: RowForm;
  readonly #ciphers: ReadonlyMap<RowForm, KeyedCipher>;
  readonly #nonces: Nonces;
  #forms: readonly RowForm[];

  constructor({ current, keys }: KeyRing, random: Random) {
    this.form = current?.id ?? IN_THE_CLEAR;
    this.#ciphers = new Map(keys.map((key) => [key.id, keyed(key)]));
    this.#nonces = new Nonces(random);
    this.#forms = [this.form, ...keys.map(({ id }) => id).filter((id) => id !== this.form)];
  }

  knows(form: RowForm): boolean {
    return form === IN_THE_CLEAR || this.#ciphers.has(form);
  }

  /** From now on only what has one of these forms is opened, and written as ever. */
  expect(forms: readonly RowForm[]): void {
    this.#forms = [this.form, ...forms.filter((form) => form !== this.form)];
  }

  seal(row: Uint8Array, key: Uint8Array): Uint8Array {
    return this.sealAs(this.form, row, key);
  }

  /** In a form whose key is in the ring. */
  sealAs(form: RowForm, row: Uint8Array, key: Uint8Array): Uint8Array {
    const of = this.#ciphers.get(form);
    if (of === undefined) return row;
    const nonce = this.#nonces.next();
    const sealed = of.cipher.seal(nonce, row, key);
    return new Uint8Array(Buffer.concat([MARK, of.id, nonce, sealed], HEADER_BYTES + sealed.length));
  }

  open(bytes: Uint8Array, key: Uint8Array): Uint8Array | undefined {
    const form = formOf(bytes);
    if (!this.#forms.includes(form)) return undefined;
    if (form === IN_THE_CLEAR) return bytes;
    const nonce = bytes.subarray(1 + ID_BYTES, HEADER_BYTES);
    if (nonce.length < NONCE_BYTES) return undefined;
    return this.#ciphers.get(form)?.cipher.open(nonce, bytes.subarray(HEADER_BYTES), key);
  }

  blind(digest: string): string {
    return this.#blindAs(this.form, digest);
  }

  blindEach(digest: string): readonly string[] {
    return this.#forms.map((form) => this.#blindAs(form, digest));
  }

  /** Whether {@link blind} gave this. */
  isBlind(text: string): boolean {
    const at = text.indexOf(BLIND_BY);
    return (at < 0 ? IN_THE_CLEAR : text.slice(0, at)) === this.form;
  }

  #blindAs(form: RowForm, digest: string): string {
    const of = this.#ciphers.get(form);
    return of === undefined ? digest : `${form}${BLIND_BY}${blindedBy(of.blinding, digest)}`;
  }
}

const MARK = Buffer.from([SEALED]);
/** Between a key's id and what it makes of a digest, which is of hex digits alone. */
const BLIND_BY = '.';

function keyed(key: EncryptionKey): KeyedCipher {
  return {
    id: Buffer.from(key.id, 'hex'),
    cipher: new ExtendedNonceCipher(key.derive('rows')),
    blinding: key.derive('digests'),
  };
}
