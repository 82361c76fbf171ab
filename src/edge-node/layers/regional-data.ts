import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Layer, layerOf, type StampOf } from '../../context-manager/layers/layer.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';
import { repeat } from '../../waiting/repeat.ts';

/** How soon a change of the files counts. */
const RELOAD_EVERY_MS = 500;
/** Looked at twice a second, and all of them stand before every turn. */
const FILES_MAX = 64;
/** Of all files together, as of a deployment's prompt: more than the half of a window of 32k ids that layers may have. */
export const LAYER_BYTES_MAX = 64 * 1024;
const ENDINGS = ['.md', '.txt'];

/**
 * What a node says of its region: a file, or those of a folder by name. It is held in memory and is in prompts; no record, no other
 * node and no export has it.
 */
export class RegionalData {
  readonly #path: string;
  readonly #stampOf: StampOf;
  #layer: Layer | undefined;
  #seen: string | undefined;

  constructor(path: string, stampOf: StampOf) {
    this.#path = path;
    this.#stampOf = stampOf;
  }

  /** As last read. */
  get layer(): Layer | undefined {
    return this.#layer;
  }

  /**
   * Reads what is new there; resolves with whether anything was. Only what `accept` takes counts: what it throws is thrown, and what
   * was known stays, until the files change again. Throws `config_invalid` for files that cannot be read or are too many or too long.
   */
  async reload(accept: (layer: Layer) => Promise<void>): Promise<boolean> {
    const { files, seen } = await this.#look();
    if (seen === this.#seen) return false;
    this.#seen = seen;
    const texts: string[] = [];
    for (const file of files) texts.push((await readFile(file, 'utf8').catch((error) => refuse(error, file))).trim());
    const written = texts.filter((text) => text !== '').join('\n\n');
    const layer = layerOf('region', written, this.#stampOf);
    if (layer?.stamp === this.#layer?.stamp) return false;
    if (layer !== undefined) await accept(layer);
    this.#layer = layer;
    return true;
  }

  /** The files, and what changes whenever one of them does. */
  async #look(): Promise<{ readonly files: readonly string[]; readonly seen: string }> {
    try {
      const isFolder = (await stat(this.#path)).isDirectory();
      const names = isFolder ? (await readdir(this.#path)).filter(isText).sort() : [''];
      if (names.length > FILES_MAX) throw invalid(`${this.#path} has ${names.length} files, and ${FILES_MAX} are read`);
      const files = names.map((name) => join(this.#path, name));
      const found = await Promise.all(files.map((file) => stat(file)));
      const bytes = found.reduce((sum, { size }) => sum + size, 0);
      if (bytes > LAYER_BYTES_MAX) throw invalid(`${this.#path} has ${bytes} bytes, and may have ${LAYER_BYTES_MAX}`);
      const marks = found.map(({ mtimeMs, size, ino }, index) => [names[index], mtimeMs, size, ino].join());
      return { files, seen: marks.join('\n') };
    } catch (error) {
      return refuse(error, this.#path);
    }
  }
}

/** Has it read again and again. What cannot be read or used is logged once, and what was read last goes on counting. */
export function watchRegionalData(
  data: RegionalData,
  accept: (layer: Layer) => Promise<void>,
  { clock, logger }: Pick<Environment, 'clock' | 'logger'>,
): () => Promise<void> {
  let told: string | undefined;
  return repeat({ clock, everyMs: RELOAD_EVERY_MS }, async () => {
    try {
      if (await data.reload(accept)) logger.info('regional_data_reloaded');
      told = undefined;
    } catch (error) {
      const { message } = error as Error;
      if (told !== message) logger.error('regional_data_refused', {}, error);
      told = message;
    }
  });
}

function isText(name: string): boolean {
  return !name.startsWith('.') && ENDINGS.some((ending) => name.endsWith(ending));
}

function refuse(error: unknown, path: string): never {
  if (error instanceof DiscedgeError) throw error;
  throw invalid(`${path} cannot be read: ${(error as Error).message}`, error);
}

function invalid(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('config_invalid', `regional-data: ${message}`, { cause });
}
