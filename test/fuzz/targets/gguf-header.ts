import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readGgufFileInfo } from 'node-llama-cpp';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { checkGgufFile } from '../../../src/llm-service/gguf-file.ts';
import { writeGgufHeader } from '../../../tools/gguf-header.ts';
import type { OpenTarget } from '../fuzz-target.ts';

/** The beginnings of model files: told what is wrong before llama.cpp sees them. */
export const open: OpenTarget = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-gguf-'));
  const file = join(folder, 'model.gguf');
  const shape = { name: 'a', layers: 1, width: 256, feedForward: 256, heads: 1, kvHeads: 1, headWidth: 256 };
  await writeGgufHeader(file, { ...shape, vocabulary: 300, contextTokens: 64 });
  const whole = readFileSync(file).subarray(0, 16_384);
  return {
    seeds: [whole, whole.subarray(0, 200), 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n'],
    words: ['GGUF', 'tokenizer.ggml.tokens', 'tokenizer.ggml.model', 'general.architecture', 'tokenizer.chat_template'],
    inputBytesMax: 16_384,
    async check(input) {
      writeFileSync(file, input);
      const read = (path: string) => readGgufFileInfo(path, { logWarnings: false });
      try {
        await checkGgufFile(file, read, { weights: false });
        await checkGgufFile(file, read);
      } catch (error) {
        if (!(error instanceof DiscedgeError) || error.code !== 'model_unusable') throw error;
      }
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
};
