import { open, rename, rm } from 'node:fs/promises';

/**
 * Writes a file whole or not at all, also when the machine goes down meanwhile. It has `mode` from its first byte on, so
 * a key is never readable by others, not even for a moment.
 */
export async function writeWhole(path: string, content: string, mode: number): Promise<void> {
  const unfinished = `${path}.new`;
  await rm(unfinished, { force: true });
  const file = await open(unfinished, 'wx', mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, path);
}
