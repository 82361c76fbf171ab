// Gives the check everything that people point a model option at by mistake: each must be named before llama.cpp sees
// it, and a file with a good header must pass.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GgufFileInfo } from 'node-llama-cpp';
import { afterAll, expect, test } from 'vitest';
import { checkGgufFile } from '../../../src/llm-service/gguf-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'gguf-file-'));
afterAll(() => rmSync(folder, { recursive: true }));

function header(version: number): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.write('GGUF', 'latin1');
  bytes.writeUInt32LE(version, 4);
  return bytes;
}

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** What the library would read from a good file of 24 bytes. */
const good = {
  infoEndOffset: 20,
  totalTensorCount: 1,
  tensorInfo: [{ fileOffset: 22 }],
  metadata: { tokenizer: { ggml: { model: 'gpt2', tokens: ['a'] } } },
};
const reading = (info: object) => async () => ({ ...good, ...info }) as unknown as GgufFileInfo;
const neverRead = () => Promise.reject(new Error('read'));

test.each([
  ['a missing file', () => join(folder, 'missing.gguf'), /does not exist.*hf:ORG\/REPO:FILE/],
  ['a folder', () => folder, /is a folder/],
  ['an empty file', () => file('empty', ''), /is empty/],
  ['a text', () => file('text', 'hello world, I am no model at all'), /not a GGUF/],
  ['a Git LFS pointer', () => file('lfs', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n'), /Git LFS/],
  ['nothing but the magic', () => file('magic', 'GGUF'), /truncated/],
  ['an old version', () => file('old', header(1)), /GGUF version 1/],
  ['a file in the other byte order', () => file('big', header(0x03000000)), /GGUF version/],
  ['what the library cannot read', () => file('unreadable', header(3)), /truncated or damaged/],
])('%s is refused with what to do', async (_, path, message) => {
  await expect(checkGgufFile(path(), neverRead)).rejects.toMatchObject({
    code: 'model_unusable',
    message: expect.stringMatching(message),
  });
});

test.each([
  ['metadata beyond its end', { infoEndOffset: 25 }, /truncated/],
  ['a tensor beyond its end', { tensorInfo: [{ fileOffset: 25n }] }, /truncated/],
  ['no weights', { totalTensorCount: 0, tensorInfo: [] }, /no weights/],
  ['no tokenizer', { metadata: {} }, /no vocabulary/],
  ['a tokenizer of no kind', { metadata: { tokenizer: { ggml: { model: 'none', tokens: ['a'] } } } }, /no vocabulary/],
  ['no tokens', { metadata: { tokenizer: { ggml: { model: 'gpt2' } } } }, /no vocabulary/],
])('a file with %s is refused', async (_, info, message) => {
  await expect(checkGgufFile(file('content', header(3)), reading(info))).rejects.toMatchObject({
    code: 'model_unusable',
    message: expect.stringMatching(message),
  });
});

test('a good file passes', async () => {
  await expect(checkGgufFile(file('good', header(3)), reading({}))).resolves.toBeUndefined();
});
