// A user without a home directory, as in a container that runs under a number that no account has. Tries to make the
// configuration fail, which asks for a home only to know where downloaded models go.
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';

beforeEach(() => {
  // Which the process then gets.
  vi.stubEnv('HOME', process.env.HOME);
  vi.spyOn(os, 'homedir').mockImplementation(() => {
    throw new Error('uv_os_homedir returned ENOENT');
  });
  syncBuiltinESMExports();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  syncBuiltinESMExports();
});

test('downloaded models go to the data directory of a user without a home', () => {
  const { dataDir, modelCacheDir } = loadConfig({ flags: { dataDir: '/srv/node' }, env: {}, file: undefined });
  expect(modelCacheDir).toBe(join(dataDir, 'discedge', 'models'));
});
