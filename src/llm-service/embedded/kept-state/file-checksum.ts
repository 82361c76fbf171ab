import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** Read at once; nobody waits longer for the event loop than for one of them. */
const PIECE_BYTES = 2 * 2 ** 20;

/** CRC-32 of a file's first `bytes`. Throws when there are fewer, and what the file system does. */
export async function fileChecksum(path: string, bytes: number): Promise<number> {
  const file = await open(path, 'r');
  try {
    let checksum = 0;
    for await (const piece of piecesOf(file, bytes)) checksum = crc32(piece, checksum);
    return checksum;
  } finally {
    await file.close();
  }
}

/** Each valid until the next but one; that one is read while it is looked at. */
async function* piecesOf(file: FileHandle, bytes: number): AsyncGenerator<Uint8Array> {
  let [piece, other] = [0, 1].map(() => Buffer.allocUnsafe(Math.min(PIECE_BYTES, bytes))) as [Buffer, Buffer];
  const read = (into: Buffer, at: number) => file.read(into, 0, Math.min(into.length, bytes - at), at);
  let reading = bytes > 0 ? read(piece, 0) : undefined;
  for (let at = 0; reading !== undefined; ) {
    const { bytesRead } = await reading;
    if (bytesRead === 0) throw new Error(`the state file has ${at} bytes of ${bytes}`);
    at += bytesRead;
    reading = at < bytes ? read(other, at) : undefined;
    yield piece.subarray(0, bytesRead);
    [piece, other] = [other, piece];
  }
}
