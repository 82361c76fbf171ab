import { type KeyRing, readKeyRing } from '../../src/domain/encryption/key-ring.ts';

/** A ring of keys that letters stand for, `a` to `f`, the current one first. */
export function keyRing(...letters: readonly string[]): KeyRing {
  const ring = readKeyRing(letters.map(keyLine).join('\n'));
  if ('problem' in ring) throw new TypeError(ring.problem);
  return ring;
}

/** A key as its line in a file has it. */
export function keyLine(letter: string): string {
  return letter.repeat(64);
}
