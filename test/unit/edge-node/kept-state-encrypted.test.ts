// llama.cpp writes KV state in the clear. Tries to have it written so to a disk with encryption on, to have what was written there
// before left, and to have an engine given the key itself.
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { keptStateOf } from '../../../src/edge-node/kept-state/kv-budget.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { keyLine, keyRing } from '../../support/key-rings.ts';

const MEMORY = '/dev/shm';
const TMPFS = 0x0102_1994;
const isMemory = (path: string) => existsSync(path) && statfsSync(path).type === TMPFS;

async function keptIn(parent: string, how: { keys: string; memoryRoots?: readonly string[]; before?: string }) {
  const { keys, memoryRoots, before = 'model' } = how;
  const folder = mkdtempSync(join(parent, 'discedge-kv-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const node = loadConfig({
    flags: { kvDir: folder, nodeId: 'n' },
    env: keys === '' ? {} : { DISCEDGE_ENCRYPTION_KEY: Array.from(keys, keyLine).join('\n') },
  });
  const file = join(folder, 'n', before, 'before.kv');
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, 'state');
  const environment = virtualEnvironment();
  const kept = await keptStateOf('model.gguf', { modelName: undefined, node, environment, memoryRoots });
  const within = kept && relative(join(folder, 'n'), kept.folder);
  return { kept, within, isBeforeLeft: existsSync(file), logged: environment.logLines.map(({ event }) => event) };
}

const idOf = (letter: string) => keyRing(letter).current?.id as string;

describe.skipIf(isMemory(tmpdir()))('on a disk', () => {
  test('without encryption it is in the clear, and nothing sealed is left', async () => {
    const { kept, ...rest } = await keptIn(tmpdir(), { keys: '' });
    expect(kept?.sealing).toBeUndefined();
    expect(rest).toEqual({ within: expect.stringMatching(/^[0-9a-f]{16}$/), isBeforeLeft: true, logged: [] });
    expect(await keptIn(tmpdir(), { keys: '', before: 'sealed-00000000/model' })).toMatchObject({
      isBeforeLeft: false,
    });
  });

  test('without a memory disk none is kept, and what was there is gone', async () => {
    for (const before of ['model', `sealed-${idOf('a')}/model`])
      expect(await keptIn(tmpdir(), { keys: 'a', memoryRoots: [tmpdir(), '/nowhere'], before })).toEqual({
        kept: undefined,
        within: undefined,
        isBeforeLeft: false,
        logged: ['llm.keeps_no_state'],
      });
  });

  test.skipIf(!isMemory(MEMORY))(
    'with one it is sealed, and what was there in the clear or by an earlier key is gone',
    async () => {
      const { kept, within, isBeforeLeft, logged } = await keptIn(tmpdir(), { keys: 'ab' });
      expect({ isBeforeLeft, logged }).toEqual({ isBeforeLeft: false, logged: [] });
      expect(within).toMatch(new RegExp(`^sealed-${idOf('a')}/[0-9a-f]{16}$`));
      expect(kept?.sealing?.memoryFolder).toMatch(/^\/dev\/shm\/discedge-[0-9a-f]{16}-[0-9a-f]{16}$/);
      expect(kept?.sealing?.memoryBytesMax).toBeGreaterThan(0);
      const key = Buffer.from(kept?.sealing?.key ?? []).toString('hex');
      expect(key).toMatch(/^[0-9a-f]{64}$/);
      expect(key).not.toBe(keyLine('a'));
      for (const [of, isLeft] of [
        ['a', true],
        ['b', false],
      ] as const)
        expect(await keptIn(tmpdir(), { keys: 'ab', before: `sealed-${idOf(of)}/model` })).toMatchObject({
          isBeforeLeft: isLeft,
        });
    },
  );
});

test.skipIf(!isMemory(MEMORY))('in memory it is kept in the clear as ever', async () => {
  const { kept, ...rest } = await keptIn(MEMORY, { keys: 'a' });
  expect(kept?.sealing).toBeUndefined();
  expect(rest).toMatchObject({ isBeforeLeft: true, logged: [] });
});
