// The cipher against C2SP's own examples of XAES-256-GCM: whatever it would do else could be no cipher that anybody has looked at.
import { expect, test } from 'vitest';
import { ExtendedNonceCipher, KEY_BYTES, NONCE_BYTES, Nonces } from '../../../src/domain/encryption/extended-nonce.ts';

const NONCE = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWX');
const PLAIN = Buffer.from('XAES-256-GCM');

test.each([
  [1, '', 'ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271'],
  [3, 'c2sp.org/XAES-256-GCM', '986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d'],
])('seals as the specification does, with a key of %is', (byte, bound, sealed) => {
  const cipher = new ExtendedNonceCipher(Buffer.alloc(KEY_BYTES, byte));
  expect(cipher.seal(NONCE, PLAIN, Buffer.from(bound)).toString('hex')).toBe(sealed);
  expect(cipher.open(NONCE, Buffer.from(sealed, 'hex'), Buffer.from(bound))?.toString()).toBe('XAES-256-GCM');
  expect(cipher.open(NONCE, Buffer.from(sealed, 'hex'), Buffer.from(`${bound}.`))).toBeUndefined();
});

test('values of other nonces in between change nothing', () => {
  const cipher = new ExtendedNonceCipher(Buffer.alloc(KEY_BYTES, 1));
  const other = Buffer.alloc(NONCE_BYTES, 7);
  const sealed = cipher.seal(NONCE, PLAIN, Buffer.alloc(0));
  cipher.seal(other, PLAIN, Buffer.alloc(0));
  expect(cipher.open(NONCE, sealed, Buffer.alloc(0))).toEqual(PLAIN);
});

test('the first half of nonces changes after 2^20 of them', () => {
  let drawn = 0;
  const nonces = new Nonces({
    bytes(length) {
      const bytes = Buffer.alloc(length);
      bytes.writeUInt32BE(++drawn);
      return bytes;
    },
  });
  const first = nonces.next();
  expect(first).toHaveLength(NONCE_BYTES);
  for (let i = 1; i < 2 ** 20; i++) nonces.next();
  const later = nonces.next();
  expect(later.subarray(0, 12).equals(first.subarray(0, 12))).toBe(false);
});
