import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const PACKED = fileURLToPath(new URL('../test/data/qwen2-vocab.gguf.gz', import.meta.url));
const CACHE = fileURLToPath(new URL('../.cache/vocabularies/', import.meta.url));

/**
 * Path of a GGUF with the Qwen2 tokenizer and no weights: 151,936 ids, ChatML with a default system message. Unpacked
 * once per content of test/data; safe when several test processes ask at once.
 */
export async function qwen2VocabularyFile(): Promise<string> {
  const packed = await readFile(PACKED);
  const path = `${CACHE}qwen2-${createHash('sha256').update(packed).digest('hex').slice(0, 12)}.gguf`;
  if (!existsSync(path)) {
    await mkdir(CACHE, { recursive: true });
    const partial = `${path}.${process.pid}`;
    await writeFile(partial, gunzipSync(packed));
    await rename(partial, path);
  }
  return path;
}
