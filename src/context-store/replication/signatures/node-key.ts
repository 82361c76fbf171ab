import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { KEY_ID_BYTES, SIGNATURE_BYTES } from '../../../domain/record/record-signature.ts';

/** Order of P-256's group. */
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const HALF_BYTES = SIGNATURE_BYTES / 2;

/** The kinds of key that records are signed with; `undefined` for any other. */
export function kindOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): 'p256' | 'ed25519' | undefined {
  if (asymmetricKeyType === 'ed25519') return 'ed25519';
  return asymmetricKeyType === 'ec' && asymmetricKeyDetails?.namedCurve === 'prime256v1' ? 'p256' : undefined;
}

export function keyIdOf(publicKey: KeyObject): Buffer {
  const der = publicKey.export({ format: 'der', type: 'spki' });
  return createHash('sha256').update(der).digest().subarray(0, KEY_ID_BYTES);
}

export function signWith(key: KeyObject, message: Uint8Array): Uint8Array {
  if (kindOf(key) === 'ed25519') return sign(null, message, key);
  const signature = sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' });
  return isLow(signature) ? signature : negated(signature);
}

export function isSignedWith(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  if (kindOf(key) === 'ed25519') return verify(null, message, key, signature);
  // Of the two that ECDSA gives for each: anybody could make the other of a record's, and so a second record.
  return isLow(signature) && verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature);
}

function isLow(signature: Uint8Array): boolean {
  return secondHalf(signature) <= P256_ORDER / 2n;
}

function negated(signature: Uint8Array): Uint8Array {
  const digits = (P256_ORDER - secondHalf(signature)).toString(16).padStart(2 * HALF_BYTES, '0');
  return Buffer.concat([signature.subarray(0, HALF_BYTES), Buffer.from(digits, 'hex')]);
}

function secondHalf(signature: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(signature.subarray(HALF_BYTES)).toString('hex')}`);
}
