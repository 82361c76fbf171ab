import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Paths of the files in a folder, however deep, in which one of these stands. */
export async function filesWith(folder: string, ...needles: readonly (string | Buffer)[]): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      // It has gone in this moment, and has nothing any more.
      return Buffer.alloc(0);
    });
    if (needles.some((needle) => bytes.includes(needle))) found.push(path);
  }
  return found;
}
