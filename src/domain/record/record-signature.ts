import { withoutExtension } from './extensions.ts';
import { type SealedRecord, sealRecord } from './record-codec.ts';
import type { SessionRecord } from './turn-record.ts';

/**
 * By which node a record was written, for whoever gets it from another: the beginning of the digest of the node's public key, and
 * the signature of the record as it is without it. Part of what is hashed, so of one record there are no two. Unlike other
 * extensions it is the record's alone: a copy under another name or hash is signed anew.
 */
const SIGNATURE = 'sig';
/** Tells one key of a node from another; whoever made a second one with the same beginning would have the node's certificate for it. */
export const KEY_ID_BYTES = 8;
/** Of a P-256 or an Ed25519 key. */
export const SIGNATURE_BYTES = 64;

/** A node's key as records know it. */
export interface RecordSigner {
  readonly keyId: Uint8Array;
  /** {@link SIGNATURE_BYTES} long. */
  sign(message: Uint8Array): Uint8Array;
}

/** Seals a record as its writer's. Throws RangeError as `sealRecord` does. */
export function sealSigned(record: SessionRecord, signer: RecordSigner): SealedRecord {
  const bare = unsigned(record);
  const value = Buffer.concat([signer.keyId, signer.sign(messageOf(bare))]);
  return sealRecord({ ...bare, extensions: new Map([...(bare.extensions ?? []), [SIGNATURE, value]]) });
}

/** What a record says of its writer, to be verified. `undefined` for one that is not signed, or in no form that a node writes. */
export function signatureOf(
  record: SessionRecord,
): { readonly keyId: string; readonly signature: Uint8Array; readonly message: Uint8Array } | undefined {
  const value = record.extensions?.get(SIGNATURE);
  if (value?.length !== KEY_ID_BYTES + SIGNATURE_BYTES) return undefined;
  return {
    keyId: Buffer.from(value.subarray(0, KEY_ID_BYTES)).toString('hex'),
    signature: value.subarray(KEY_ID_BYTES),
    message: messageOf(unsigned(record)),
  };
}

/** The record with the signature that another one has, or without one where that has none. */
export function signedLike<R extends SessionRecord>(record: R, other: SessionRecord): R {
  const value = other.extensions?.get(SIGNATURE);
  const bare = unsigned(record);
  if (value === undefined) return bare;
  return { ...bare, extensions: new Map([...(bare.extensions ?? []), [SIGNATURE, value]]) };
}

/** The record as it is signed, and as it is copied. */
export function unsigned<R extends SessionRecord>(record: R): R {
  if (record.extensions?.has(SIGNATURE) !== true) return record;
  const { extensions, ...rest } = record;
  const others = withoutExtension(extensions, SIGNATURE);
  return (others.size === 0 ? rest : { ...rest, extensions: others }) as R;
}

function messageOf(bare: SessionRecord): Uint8Array {
  return Buffer.concat([LABEL, sealRecord(bare).bytes]);
}

/** What the key of a certificate signs elsewhere begins otherwise. */
const LABEL = Buffer.from('discedge record\0');
