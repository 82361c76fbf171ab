import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiscedgeError } from '../domain/errors.ts';
import { type ApiKey, apiKeyJson, mergedKey, readApiKeyJson } from './api-key.ts';

/** Far beyond what one cluster gives out; all are held in memory. */
export const KEYS_MAX = 10_000;
const SUFFIX = '.json';

/**
 * API keys in a folder, a file each: whoever may write there is the node's operator. Files appear whole and are only ever
 * replaced by what says more, so that a node, its command line and a person may write side by side.
 */
export class KeyFolder {
  readonly path: string;
  readonly #keys = new Map<string, ApiKey>();
  #changedMs: number | undefined;
  #hasAny = false;

  constructor(path: string) {
    this.path = path;
  }

  /** As last read. */
  get(id: string): ApiKey | undefined {
    return this.#keys.get(id);
  }

  /** Whether there is any file of a key, one that cannot be read included: then somebody wanted callers to be asked. */
  get hasAny(): boolean {
    return this.#hasAny;
  }

  all(): readonly ApiKey[] {
    return [...this.#keys.values()];
  }

  /**
   * Reads what is new there. Resolves with the ids of files that are no keys, which count as not there. No folder is no keys.
   * Throws `data_dir_unusable` where it cannot be read.
   */
  async reload(): Promise<readonly string[]> {
    let names: readonly string[];
    try {
      const { mtimeMs } = await stat(this.path);
      if (mtimeMs === this.#changedMs) return [];
      names = (await readdir(this.path)).filter((name) => name.endsWith(SUFFIX) && !name.startsWith('.'));
      // Taken before the names: what changes meanwhile is read the next time.
      this.#changedMs = mtimeMs;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        this.#keys.clear();
        this.#hasAny = false;
        return [];
      }
      throw unusable(this.path, error);
    }
    this.#hasAny = names.length > 0;
    const damaged: string[] = [];
    const found = new Set<string>();
    for (const name of names.slice(0, KEYS_MAX)) {
      try {
        const key = readApiKeyJson(await readFile(join(this.path, name), 'utf8'));
        if (`${key.id}${SUFFIX}` !== name) throw new TypeError('a key under the name of another');
        found.add(key.id);
        this.#keys.set(key.id, key);
      } catch (error) {
        damaged.push(name);
        if (error instanceof TypeError || error instanceof SyntaxError) continue;
        // It may be there and only not be readable now: what was known of it stays, and it is read again.
        found.add(name.slice(0, -SUFFIX.length));
        this.#changedMs = undefined;
      }
    }
    for (const id of this.#keys.keys()) if (!found.has(id)) this.#keys.delete(id);
    return damaged;
  }

  /** Adds a key, or what is new about one; resolves with whether anything was. */
  async put(key: ApiKey): Promise<boolean> {
    const known = this.#keys.get(key.id);
    const merged = known === undefined ? key : mergedKey(known, key);
    if (known !== undefined && merged.revokedAtMs === known.revokedAtMs) return false;
    if (known === undefined && this.#keys.size >= KEYS_MAX)
      throw new DiscedgeError('data_dir_unusable', `there are ${KEYS_MAX} keys in ${this.path} already`);
    const draft = join(this.path, `.${key.id}.${process.pid}`);
    try {
      await mkdir(this.path, { recursive: true, mode: 0o700 });
      await writeFile(draft, apiKeyJson(merged), { mode: 0o600, flush: true });
      await rename(draft, join(this.path, key.id + SUFFIX));
      this.#hasAny = true;
    } catch (error) {
      await rm(draft, { force: true });
      throw unusable(this.path, error);
    }
    this.#keys.set(key.id, merged);
    return true;
  }
}

function unusable(path: string, cause: unknown): DiscedgeError {
  return new DiscedgeError('data_dir_unusable', `the API keys in ${path}: ${(cause as Error).message}`, { cause });
}
