// Tries to read kept state off a disk, and to have state restored that is not what was sealed: turned, cut, extended, exchanged with
// another file's, sealed with another key or for another model; and to have a crash leave something in the clear.
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { SealedForm } from '../../../src/llm-service/embedded/kept-state/sealed-form.ts';
import type { StateSeal } from '../../../src/llm-service/embedded/kept-state/state-file.ts';
import { PIECE_BYTES } from '../../../src/llm-service/embedded/kept-state/state-stream.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { keyRing } from '../../support/key-rings.ts';

const { random } = virtualEnvironment();
const ids = Array.from({ length: 40 }, (_, i) => (70_000 + i) as TokenId);
const CANARY = Buffer.from('what the session says');
const TAG_BYTES = 16;

let root: string;
let memoryFolder: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sealed-'));
  memoryFolder = join(root, 'memory');
  path = join(root, 'a.kv');
});
afterEach(() => rmSync(root, { recursive: true }));

const open = (fields: { key?: string; binding?: string; memoryBytesMax?: number } = {}) => {
  const { key = 'a', binding = 'model', memoryBytesMax = 1e9 } = fields;
  const sealing = { key: keyRing(key).keys[0]?.derive('kept state') as Buffer, memoryFolder, memoryBytesMax };
  return SealedForm.open(sealing, binding, random);
};

function stateOf(bytes: number): Buffer {
  return Buffer.alloc(bytes, CANARY);
}

async function sealed(form: SealedForm, to: string, state: Buffer, affinity = 'a'): Promise<StateSeal> {
  const save = async (plain: string) => {
    writeFileSync(plain, state);
    return state.length;
  };
  const written = await form.write(to, { expectedBytes: 0, save });
  const seal = { binding: 'model', affinity, returns: 3, ids, ...written };
  expect(form.seal(to, seal)).toBe(statSync(to).size);
  return seal;
}

/** What llama.cpp would be shown; `undefined` when it is shown nothing. */
async function opened(form: SealedForm, seal: StateSeal): Promise<Buffer | undefined> {
  let shown: Buffer | undefined;
  await form
    .read(path, seal, async (plain) => {
      shown = readFileSync(plain);
    })
    .catch(() => undefined);
  expect(existsSync(memoryFolder)).toBe(false);
  return shown;
}

test.each([0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 3 * PIECE_BYTES + 7])(
  'a state of %i bytes is what it was, and lies nowhere in the clear',
  async (bytes) => {
    const form = await open();
    const state = stateOf(bytes);
    const seal = await sealed(form, path, state);
    expect(readdirSync(root)).toEqual(['a.kv']);
    expect(form.readSeal(path)).toEqual({ ...seal, fileBytes: statSync(path).size });
    expect((await opened(form, seal))?.equals(state)).toBe(true);
    const file = readFileSync(path);
    for (const plain of [CANARY, Buffer.from(Int32Array.from(ids.slice(0, 3)).buffer), Buffer.from('"affinity"')])
      expect(file.includes(plain)).toBe(false);
  },
);

test('the same state has other bytes each time', async () => {
  const form = await open();
  const pieces = [];
  for (const name of ['one', 'two']) {
    await sealed(form, join(root, name), stateOf(64));
    pieces.push(readFileSync(join(root, name)).subarray(19, 19 + 64));
  }
  expect(pieces[0]?.equals(pieces[1] as Buffer)).toBe(false);
});

describe('nothing is shown to llama.cpp of a file', () => {
  const STATE = 2 * PIECE_BYTES + 100;
  const PIECE = PIECE_BYTES + TAG_BYTES;
  const turned = (at: (size: number) => number) => (file: Buffer) => {
    const where = at(file.length);
    file.writeUInt8(file.readUInt8(where) ^ 1, where);
    return file;
  };
  const piece = (file: Buffer, n: number) => file.subarray(19 + n * PIECE, 19 + (n + 1) * PIECE);
  const harm: Record<string, (file: Buffer, other: Buffer) => Buffer> = {
    'with a bit turned in its prefix': turned(() => 0),
    'with a bit turned in a piece': turned(() => 19 + PIECE + 5),
    'with a bit turned in the tag of a piece': turned(() => 19 + PIECE - 1),
    'with a bit turned in its last piece': turned((size) => size - 60),
    'with a bit turned in the length of that': turned((size) => size - 24),
    'cut by a byte': (file) => file.subarray(0, -1),
    'without its second piece': (file) => Buffer.concat([file.subarray(0, 19 + PIECE), file.subarray(19 + 2 * PIECE)]),
    'with its pieces exchanged': (file) =>
      Buffer.concat([file.subarray(0, 19), piece(file, 1), piece(file, 0), file.subarray(19 + 2 * PIECE)]),
    'with a piece of another file of its session': (file, other) =>
      Buffer.concat([file.subarray(0, 19 + PIECE), piece(other, 1), file.subarray(19 + 2 * PIECE)]),
    'with the end of another file of its session': (file, other) =>
      Buffer.concat([file.subarray(0, 19 + STATE + 3 * TAG_BYTES), other.subarray(19 + STATE + 3 * TAG_BYTES)]),
    empty: () => Buffer.alloc(0),
    'in the clear': () => stateOf(STATE),
  };

  test.each(Object.keys(harm))('%s', async (what) => {
    const form = await open();
    const seal = await sealed(form, path, stateOf(STATE));
    await sealed(form, join(root, 'other'), stateOf(STATE));
    writeFileSync(path, harm[what]?.(readFileSync(path), readFileSync(join(root, 'other'))) as Buffer);
    expect(await opened(form, seal)).toBeUndefined();
  });

  test("another session's: it says whose it is", async () => {
    const form = await open();
    await sealed(form, path, stateOf(100));
    await sealed(form, join(root, 'b'), stateOf(100), 'b');
    copyFileSync(join(root, 'b'), path);
    expect(form.readSeal(path)?.affinity).toBe('b');
  });

  test.each([{ key: 'b' }, { binding: 'another model' }])('of %o', async (other) => {
    const seal = await sealed(await open(), path, stateOf(STATE));
    const form = await open(other);
    expect(form.readSeal(path)).toBeUndefined();
    expect(await opened(form, seal)).toBeUndefined();
  });

  test('longer than may lie in memory', async () => {
    const seal = await sealed(await open(), path, stateOf(STATE));
    expect(await opened(await open({ memoryBytesMax: STATE - 1 }), seal)).toBeUndefined();
    expect(await opened(await open({ memoryBytesMax: STATE }), seal)).toBeDefined();
  });
});

describe('a state that llama.cpp', () => {
  const write = async (save: (plain: string) => Promise<number>) =>
    (await open()).write(path, { expectedBytes: 0, save });

  test('could not write whole is not sealed, and gone from memory', async () => {
    const short = async (plain: string) => {
      writeFileSync(plain, stateOf(99));
      return 100;
    };
    await expect(write(short)).rejects.toThrow('99 bytes of 100');
    await expect(write(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(memoryFolder)).toBe(false);
  });

  test('was writing when the process ended is not on the disk, and goes from memory at the next start', async () => {
    const begun = new Promise<void>((resolve) => {
      void write((plain) => {
        writeFileSync(plain, stateOf(100));
        resolve();
        return new Promise(() => {});
      });
    });
    await begun;
    expect(readdirSync(root)).toEqual(['memory']);
    expect(statSync(memoryFolder).mode & 0o777).toBe(0o700);
    await open();
    expect(readdirSync(root)).toEqual([]);
  });

  test('would write where somebody else has made a folder is not written', async () => {
    const form = await open();
    mkdirSync(memoryFolder);
    const save = () => Promise.reject(new Error('was asked to'));
    await expect(form.write(path, { expectedBytes: 0, save })).rejects.toThrow('EEXIST');
  });
});

test('a file that was cut or continued before it was ended is not ended', async () => {
  const form = await open();
  const seal = await sealed(form, path, stateOf(100));
  expect(() => form.seal(path, seal)).toThrow('not sealed');
  truncateSync(path, 30);
  expect(() => form.seal(path, seal)).toThrow('not sealed');
  appendFileSync(path, 'x');
  expect(form.readSeal(path)).toBeUndefined();
});
