// Feeds the reader of vocabulary files what is cut short, packed, forged or no GGUF at all: it must take over every value
// as it lies in the file, read no more than the beginning, and refuse the rest with one line that says what is wrong.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  boolEntry,
  float32Entry,
  string,
  stringEntry,
  uint32,
  uint32Entry,
  uint64,
} from '../../src/shaped-model/gguf-encoding.ts';
import {
  integersOf,
  type MetadataEntry,
  MetadataIncomplete,
  readMetadata,
  stringsOf,
} from '../../src/shaped-model/gguf-metadata.ts';
import { readVocabularyFile } from '../../src/shaped-model/vocabulary-file.ts';

const packedVocabulary = fileURLToPath(new URL('../../../test/data/qwen2-vocab.gguf.gz', import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-vocabulary-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fileOf(name: string, content: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

const list = (key: string, itemType: number, items: readonly Buffer[]): MetadataEntry => ({
  key,
  encoded: Buffer.concat([uint32(9), uint32(itemType), uint64(items.length), ...items]),
});

function ggufOf(entries: readonly MetadataEntry[], version = 3): Buffer {
  return Buffer.concat([
    Buffer.from('GGUF'),
    uint32(version),
    uint64(0),
    uint64(entries.length),
    ...entries.flatMap(({ key, encoded }) => [string(key), encoded]),
  ]);
}

const ENTRIES = [
  stringEntry('text', 'größer'),
  uint32Entry('number', 4_294_967_295),
  float32Entry('fraction', 0.1),
  boolEntry('flag', true),
  { key: 'long', encoded: Buffer.concat([uint32(10), uint64(2 ** 40)]) },
  { key: 'byte', encoded: Buffer.concat([uint32(0), Buffer.from([7])]) },
  { key: 'short', encoded: Buffer.concat([uint32(2), Buffer.from([7, 0])]) },
  list('words', 8, [string('a'), string('Ġb'), string('')]),
  list('types', 5, [uint32(1), uint32(3)]),
  list('scores', 6, [Buffer.alloc(4), Buffer.alloc(4)]),
];

describe('metadata', () => {
  it('comes back as it lies in the file, of every type and in versions 2 and 3', () => {
    expect(readMetadata(ggufOf(ENTRIES))).toEqual(ENTRIES);
    expect(readMetadata(Buffer.concat([ggufOf(ENTRIES, 2), Buffer.from('tensors')]))).toEqual(ENTRIES);
  });

  it('is incomplete wherever the file is cut', () => {
    const whole = ggufOf(ENTRIES);
    for (let length = 0; length < whole.length; length++) {
      expect(() => readMetadata(whole.subarray(0, length))).toThrow(MetadataIncomplete);
    }
  });

  it.each([
    ['strings', uint64(2 ** 62)],
    ['lists', Buffer.concat([uint32(0), uint64(2 ** 62)])],
  ])('with forged lengths of %s is incomplete, and costs no memory', (kind, forged) => {
    const encoded = Buffer.concat([uint32(kind === 'strings' ? 8 : 9), forged]);
    expect(() => readMetadata(ggufOf([{ key: 'forged', encoded }]))).toThrow(MetadataIncomplete);
  });

  it('of unknown types and lists of lists is refused', () => {
    expect(() => readMetadata(ggufOf([{ key: 'odd', encoded: uint32(99) }]))).toThrow('unknown type 99');
    expect(() => readMetadata(ggufOf([list('nested', 9, [])]))).toThrow('lists of lists');
  });

  it('is read as strings or integers only where it is', () => {
    const entry = (key: string) => ENTRIES.find((candidate) => candidate.key === key) as MetadataEntry;
    expect(stringsOf(entry('words'))).toEqual(['a', 'Ġb', '']);
    expect(stringsOf(entry('types'))).toBeUndefined();
    expect(integersOf(entry('types'))).toEqual([1, 3]);
    expect(integersOf(entry('scores'))).toBeUndefined();
    expect(integersOf(entry('text'))).toBeUndefined();
  });
});

describe('a vocabulary file', () => {
  it('of a real model is read, packed as it is', async () => {
    const entries = await readVocabularyFile(packedVocabulary);
    const tokens = entries.find(({ key }) => key === 'tokenizer.ggml.tokens') as MetadataEntry;
    expect(stringsOf(tokens)).toHaveLength(151_936);
  });

  it('is read to the end of its metadata only: what follows may be anything, and broken', async () => {
    const gguf = Buffer.concat([ggufOf(ENTRIES), Buffer.alloc(20 << 20)]);
    expect(await readVocabularyFile(await fileOf('model.gguf', gguf))).toEqual(ENTRIES);
    const packed = gzipSync(gguf);
    const cut = await fileOf('cut-in-weights.gguf.gz', packed.subarray(0, packed.length - 500));
    expect(await readVocabularyFile(cut)).toEqual(ENTRIES);
  });

  it('whose metadata is longer than one look is read to its end, and no further', async () => {
    const long = [...ENTRIES, stringEntry('long', 'x'.repeat(20 << 20)), boolEntry('last', false)];
    const packed = gzipSync(Buffer.concat([ggufOf(long), Buffer.alloc(40 << 20)]), { level: 1 });
    const entries = await readVocabularyFile(await fileOf('long.gguf.gz', packed.subarray(0, packed.length - 500)));
    expect(entries.map(({ key }) => key)).toEqual(long.map(({ key }) => key));
  });

  it.each<[string, Uint8Array, string]>([
    ['empty.gguf', Buffer.alloc(0), 'is truncated or damaged'],
    ['text.gguf', Buffer.from('not a model'), 'is not a GGUF file'],
    ['old.gguf', ggufOf(ENTRIES, 1), 'is GGUF version 1'],
    ['cut.gguf', ggufOf(ENTRIES).subarray(0, 100), 'is truncated or damaged'],
    ['cut.gguf.gz', gzipSync(ggufOf(ENTRIES)).subarray(0, 60), 'is truncated'],
    ['broken.gguf.gz', Buffer.concat([gzipSync('x').subarray(0, 10), Buffer.alloc(50, 0xff)]), 'is damaged'],
  ])('%s is refused with its path and what is wrong', async (name, content, problem) => {
    const path = await fileOf(name, content);
    await expect(readVocabularyFile(path)).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringContaining(`${path} ${problem}`),
    });
  });

  it('that is missing or a folder is refused', async () => {
    await expect(readVocabularyFile(join(folder, 'none'))).rejects.toThrow('does not exist');
    await expect(readVocabularyFile(folder)).rejects.toThrow('is a folder');
  });
});
