import { access, mkdtemp, rmdir, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import type { EdgeNodeConfig } from '../config/config.ts';
import { originOf } from '../config/listen-address.ts';
import { formatSize } from '../config/settings/setting-values.ts';
import { refuseLivingHolder, takeDataFolder } from '../context-store/leveldb/data-folder/data-folder.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { Check } from './check.ts';

/** Whether the data folder, or the one it would be made in, can be written and is not another node's. */
export async function checkDataDir({ dataDir, store }: EdgeNodeConfig): Promise<Check> {
  const name = 'data folder';
  if (!store.keepsFiles) return { name, outcome: 'ok', found: `not needed by the ${store.name} store` };
  const existing = await nearestExisting(dataDir);
  try {
    if (existing === dataDir) {
      await (await takeDataFolder(dataDir)).release();
      await refuseLivingHolder(dataDir);
    } else await rmdir(await mkdtemp(join(existing, '.discedge-doctor-')));
    return { name, outcome: 'ok', found: existing === dataDir ? dataDir : `${dataDir}, to be made` };
  } catch (error) {
    if (error instanceof DiscedgeError) {
      const outcome = error.code === 'data_dir_in_use' ? 'warn' : 'missing';
      return { name, outcome, found: error.message, fix: 'a second node needs its own: --data-dir DIR' };
    }
    const found = `${dataDir} cannot be used: ${(error as Error).message}`;
    return { name, outcome: 'missing', found, fix: 'choose another with --data-dir' };
  }
}

export async function checkDiskSpace({ dataDir, store, storeBytesMax }: EdgeNodeConfig): Promise<Check> {
  const name = 'disk space';
  if (!store.keepsFiles) return { name, outcome: 'ok', found: `not needed by the ${store.name} store` };
  const { bavail, bsize } = await statfs(await nearestExisting(dataDir));
  const freeBytes = bavail * bsize;
  const found = `${(freeBytes / 2 ** 30).toFixed(1)} GiB free, store limited to ${formatSize(storeBytesMax)}`;
  if (freeBytes >= storeBytesMax) return { name, outcome: 'ok', found };
  return { name, outcome: 'warn', found, fix: 'free some space, or lower --store-bytes-max' };
}

export async function checkPort({ listen }: EdgeNodeConfig): Promise<Check> {
  const name = 'address';
  const address = originOf(listen);
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen(listen.port, listen.host, () => server.close(() => resolve(undefined)));
  });
  if (problem === undefined) return { name, outcome: 'ok', found: `${address} is free` };
  if (problem.code === 'EADDRINUSE') {
    return {
      name,
      outcome: 'warn',
      found: `something listens on ${address} already`,
      fix: 'a second node needs its own: --listen HOST:PORT',
    };
  }
  return {
    name,
    outcome: 'missing',
    found: `cannot listen on ${address}: ${problem.message}`,
    fix: 'choose another with --listen HOST:PORT',
  };
}

/** The path itself or the first folder above it that is there. */
async function nearestExisting(path: string): Promise<string> {
  for (let current = path; ; current = dirname(current)) {
    const there = await access(current).then(
      () => true,
      () => false,
    );
    if (there || current === dirname(current)) return current;
  }
}
