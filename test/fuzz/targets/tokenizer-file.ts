import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { openTokenizerFile } from '../../../src/llm-service/vllm/tokenizer-file.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const tokenizer = {
  version: '1.0',
  added_tokens: [
    {
      id: 4,
      content: '<|im_end|>',
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    },
  ],
  normalizer: { type: 'NFC' },
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2, c: 3 }, merges: ['a b'], byte_fallback: false },
};
const beside = {
  tokenizer_config: { bos_token: '<s>', eos_token: { content: '<|im_end|>' }, chat_template: '{{ messages }}' },
  config: { vocab_size: 8, text_config: { vocab_size: 9 } },
  generation_config: { eos_token_id: [4] },
};

/** `tokenizer.json` and what lies beside it, as whoever made a model left it: a vocabulary, or refused. */
export const open: OpenTarget = () => {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-tokenizer-'));
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'tokenizer.json');
  return {
    seeds: [JSON.stringify({ tokenizer, ...beside }), JSON.stringify({ tokenizer })],
    isJson: true,
    words: [
      'BPE',
      'Unigram',
      'WordPiece',
      'Metaspace',
      'Sequence',
      'Split',
      'type',
      'pattern',
      'Regex',
      '(a+)+$',
      'merges',
      'vocab',
    ],
    async check(input) {
      const files = filesOf(input);
      writeFileSync(file, files.tokenizer);
      for (const [name, text] of Object.entries(files.beside)) writeFileSync(join(folder, `${name}.json`), text);
      try {
        const vocabulary = await openTokenizerFile(file);
        const ids = await vocabulary.tokenize('ab <|im_end|>', { parseSpecial: false });
        if (ids.some((id) => !(id >= 0 && id < vocabulary.vocabularySize)))
          throw new Error('an id outside the vocabulary');
        await vocabulary.detokenize(ids);
        await vocabulary.pieces(ids);
      } catch (error) {
        if (!(error instanceof DiscedgeError) || error.code === 'internal_error') throw error;
      }
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
};

/** The input as one JSON of all files, or as the first of them. */
function filesOf(input: Buffer): { tokenizer: string | Buffer; beside: Record<string, string> } {
  try {
    const { tokenizer, ...others } = JSON.parse(input.toString()) as Record<string, unknown>;
    const texts = Object.keys(beside).map((name) => [name, JSON.stringify(others[name] ?? {})]);
    return { tokenizer: JSON.stringify(tokenizer) ?? '', beside: Object.fromEntries(texts) };
  } catch {
    return { tokenizer: input, beside: {} };
  }
}
