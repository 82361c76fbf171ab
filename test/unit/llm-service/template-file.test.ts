// Where a chat template comes from: a Jinja file, what transformers writes beside a tokenizer, a GGUF's metadata. Tries
// to be fooled by names, by Jinja that begins as JSON does, by several templates in any order, and by files that are none.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type NamedTemplate, readTemplateFile } from '../../../src/llm-service/chat-template/template-file.ts';
import { ggufMetadata } from '../../support/sentencepiece-vocabulary.ts';

const folder = mkdtempSync(join(tmpdir(), 'template-file-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function read(name: string, content: string | Buffer): Promise<NamedTemplate[]> {
  writeFileSync(join(folder, name), content);
  return readTemplateFile(join(folder, name));
}

const only = (source: string): NamedTemplate[] => [{ name: 'default', source }];
const SEVERAL = [
  { name: 'tool_use', template: '{{ tools }}' },
  { name: 'default', template: '{{ messages }}' },
];
const DEFAULT_FIRST = [
  { name: 'default', source: '{{ messages }}' },
  { name: 'tool_use', source: '{{ tools }}' },
];

describe('a template is read', () => {
  test.each([
    ['from Jinja, white space and all', 'a.jinja', ' {{ x }}\n', only(' {{ x }}\n')],
    [
      'from Jinja that begins with a brace',
      'b.json',
      '{%- if x %}{{ {"a": 1} }}{% endif %}',
      only('{%- if x %}{{ {"a": 1} }}{% endif %}'),
    ],
    [
      'from a tokenizer_config.json',
      'tokenizer_config.json',
      '{"chat_template": "{{ x }}", "bos_token": "<s>"}',
      only('{{ x }}'),
    ],
    [
      'from a list of named ones, the default first',
      'c.json',
      JSON.stringify({ chat_template: SEVERAL }),
      DEFAULT_FIRST,
    ],
    ['from nothing, where the tokenizer has none', 'd.json', '{"bos_token": "<s>"}', []],
    ['from a GGUF', 'e.bin', gguf({ 'tokenizer.chat_template': '{{ x }}' }), only('{{ x }}')],
    [
      'from a GGUF with several, in this order',
      'f.gguf',
      gguf({ 'tokenizer.chat_template.tool_use': '{{ tools }}', 'tokenizer.chat_template': '{{ messages }}' }),
      DEFAULT_FIRST,
    ],
    [
      'and in that',
      'g.gguf',
      gguf({ 'tokenizer.chat_template': '{{ messages }}', 'tokenizer.chat_template.tool_use': '{{ tools }}' }),
      DEFAULT_FIRST,
    ],
    [
      'from a GGUF with none but a named one',
      'h.gguf',
      gguf({ 'tokenizer.chat_template.rag': '{{ documents }}' }),
      [{ name: 'rag', source: '{{ documents }}' }],
    ],
    ['from nothing, where the GGUF has none', 'i.gguf', gguf({}), []],
  ])('%s', async (_, name, content, expected) => {
    expect(await read(name, content)).toEqual(expected);
  });
});

describe('a file is refused, with the reason', () => {
  test.each([
    ['that is not text', 'j.jinja', Buffer.from([0xff, 0xfe, 0x00]), /not UTF-8 text/],
    [
      'whose template is of another kind',
      'k.json',
      '{"chat_template": [{"name": "default"}]}',
      /neither text nor a list/,
    ],
    [
      'that is a GGUF cut short',
      'l.gguf',
      gguf({ 'tokenizer.chat_template': 'x'.repeat(100) }).subarray(0, 60),
      /truncated or damaged/,
    ],
  ])('%s', async (_, name, content, reason) => {
    await expect(read(name, content)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(reason),
    });
  });

  test('that is not there, and a folder', async () => {
    for (const path of [join(folder, 'missing'), folder]) {
      await expect(readTemplateFile(path)).rejects.toMatchObject({
        code: 'config_invalid',
        message: expect.stringContaining(path),
      });
    }
  });
});

function gguf(metadata: Readonly<Record<string, string>>): Buffer {
  return ggufMetadata({ 'general.architecture': 'llama', 'tokenizer.ggml.model': 'gpt2', ...metadata });
}
