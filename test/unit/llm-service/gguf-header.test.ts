// Headers of model files whose counts and lengths are not so: the library that reads them goes on for ever over some, and makes room
// for what others claim. Each must be told from a whole one, at once.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, test } from 'vitest';
import { isHeaderWholeAt } from '../../../src/llm-service/gguf-header.ts';
import { writeGgufHeader } from '../../../tools/gguf-header.ts';

const folder = mkdtempSync(join(tmpdir(), 'gguf-header-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'model.gguf');

const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number | bigint) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const text = (value: string) => Buffer.concat([u64(value.length), Buffer.from(value)]);
const list = (type: number, count: number | bigint, ...rest: Buffer[]) =>
  Buffer.concat([text('a'), u32(9), u32(type), u64(count), ...rest]);
const header = (
  { tensors = 0, entries = 1 }: { tensors?: number | bigint; entries?: number | bigint },
  ...rest: Buffer[]
) => Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(entries), ...rest]);

test.each([
  ['nothing', header({ entries: 0 })],
  ['a list of texts', header({}, list(8, 2, text('x'), text('y')))],
  ['a list of lists', header({}, list(9, 1, u32(4), u64(2), u32(1), u32(2)))],
  ['a tensor', header({ tensors: 1, entries: 0 }, text('w'), u32(2), u64(3), u64(4), u32(0), u64(0))],
])('one with %s is whole', (_, bytes) => {
  writeFileSync(path, bytes);
  expect(isHeaderWholeAt(path)).toBe(true);
});

test.each([
  ['entries without end', header({ entries: 2n ** 63n }, text('a'), u32(0), Buffer.of(1))],
  ['tensors without end', header({ tensors: 2n ** 63n, entries: 0 })],
  ['a text without end', header({}, u64(2n ** 62n), Buffer.alloc(64))],
  ['a list without end', header({}, list(4, 2n ** 61n, Buffer.alloc(64)))],
  ['texts without end', header({}, list(8, 2n ** 61n, Buffer.alloc(64)))],
  ['lists without end', header({}, list(9, 2n ** 61n, Buffer.alloc(64)))],
  ['lists in lists', header({}, list(9, 1, ...Array.from({ length: 9 }, () => Buffer.concat([u32(9), u64(1)]))))],
  ['dimensions without end', header({ tensors: 1, entries: 0 }, text('w'), u32(2 ** 32 - 1), Buffer.alloc(64))],
  ['a type that there is not', header({}, text('a'), u32(77), Buffer.alloc(64))],
  ['half a count', header({}).subarray(0, 20)],
])('one with %s is not', (_, bytes) => {
  writeFileSync(path, bytes);
  expect(isHeaderWholeAt(path)).toBe(false);
});

it("a model's is whole", async () => {
  const shape = { name: 'a', layers: 2, width: 256, feedForward: 256, heads: 1, kvHeads: 1, headWidth: 256 };
  await writeGgufHeader(path, { ...shape, vocabulary: 200_000, contextTokens: 64 });
  expect(isHeaderWholeAt(path)).toBe(true);
  expect(isHeaderWholeAt(join('models', 'demo', 'demo.gguf'))).toBe(true);
});
