import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where servers are kept, without links: what is made there names its own place, and a link to it may be gone by then. */
export function cacheFolder(): string {
  const fromEnvironment = process.env.DISCEDGE_TEST_CACHE;
  const folder = fromEnvironment
    ? resolve(fromEnvironment)
    : fileURLToPath(new URL('../../.cache/servers', import.meta.url));
  return existsSync(folder) ? realpathSync(folder) : folder;
}
