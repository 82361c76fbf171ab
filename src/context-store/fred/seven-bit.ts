/*
 * FReD's values are text, whole characters and not empty. All 128 ASCII code points pass unchanged, so 7 bits of bytes go into
 * each character: 14 % more, where base64 takes 33 %.
 */

/** Characters that so many bytes take. */
export function packedLength(bytes: number): number {
  return Math.ceil((bytes * 8) / 7);
}

export function packBytes(bytes: Uint8Array): string {
  const characters = Buffer.allocUnsafe(packedLength(bytes.length));
  let [held, bits, length] = [0, 0, 0];
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 7; ) {
      bits -= 7;
      characters[length++] = (held >> bits) & 0x7f;
    }
    held &= (1 << bits) - 1;
  }
  if (bits > 0) characters[length++] = (held << (7 - bits)) & 0x7f;
  return characters.toString('latin1');
}

/** `undefined` for what {@link packBytes} does not return. */
export function unpackBytes(text: string): Uint8Array | undefined {
  const bytes = Buffer.allocUnsafe(Math.floor((text.length * 7) / 8));
  if (packedLength(bytes.length) !== text.length) return undefined;
  let [held, bits, length] = [0, 0, 0];
  for (let index = 0; index < text.length; index++) {
    const character = text.charCodeAt(index);
    if (character > 0x7f) return undefined;
    held = (held << 7) | character;
    bits += 7;
    if (bits >= 8) {
      bits -= 8;
      bytes[length++] = (held >> bits) & 0xff;
    }
    held &= (1 << bits) - 1;
  }
  return held === 0 ? bytes : undefined;
}
