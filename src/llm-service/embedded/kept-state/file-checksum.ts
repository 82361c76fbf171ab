import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** Read at once; nobody waits longer for the event loop than for one of them. */
const PIECE_BYTES = 2 * 2 ** 20;

/** CRC-32 of a file's first `bytes`. Throws when there are fewer, and what the file system does. */
export async function fileChecksum(path: string, bytes: number): Promise<number> {
  const file = await open(path, 'r');
  try {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, bytes));
    let checksum = 0;
    for (let at = 0; at < bytes; ) {
      const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, bytes - at), at);
      if (bytesRead === 0) throw new Error(`the state file has ${at} bytes of ${bytes}`);
      checksum = crc32(piece.subarray(0, bytesRead), checksum);
      at += bytesRead;
    }
    return checksum;
  } finally {
    await file.close();
  }
}
