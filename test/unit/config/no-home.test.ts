// A user without a home directory, as in a container that runs under a number that no account has. Tries to make the
// configuration fail, which asks for a home only to know where downloaded models go.
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  homedir: () => {
    throw new Error('uv_os_homedir returned ENOENT');
  },
}));

const { loadConfig } = await import('../../../src/config/config.ts');

test('downloaded models go to the data directory of a user without a home', () => {
  const { dataDir, modelCacheDir } = loadConfig({ flags: { dataDir: '/srv/node' }, env: {}, file: undefined });
  expect(modelCacheDir).toBe(join(dataDir, 'discedge', 'models'));
});
