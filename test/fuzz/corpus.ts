import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('corpus', import.meta.url));
/** Inputs that reached code which none before had, in base64, a line each. */
const REACHED = 'reached.txt';
/** Of one target: a repository is no place for more, and the shortest ones say most. */
const REACHED_BYTES_MAX = 48 * 1024;

/** The kept inputs of a target: those that once broke something, a file each, and those that reach all of its code. */
export class Corpus {
  readonly folder: string;

  constructor(target: string) {
    this.folder = join(FOLDER, target);
  }

  all(): Buffer[] {
    return [...this.#broke(), ...this.#reached()];
  }

  /** Returns where it is kept. */
  keepFault(input: Uint8Array): string {
    mkdirSync(this.folder, { recursive: true });
    const path = join(this.folder, createHash('sha256').update(input).digest('hex').slice(0, 12));
    writeFileSync(path, input);
    return path;
  }

  keepReached(inputs: readonly Uint8Array[]): void {
    mkdirSync(this.folder, { recursive: true });
    const lines = new Set(inputs.map((input) => Buffer.from(input).toString('base64')));
    let left = REACHED_BYTES_MAX;
    const kept = [...lines]
      .sort((a, b) => a.length - b.length)
      .filter(({ length }) => {
        left -= length;
        return left >= 0;
      });
    writeFileSync(
      join(this.folder, REACHED),
      kept
        .sort()
        .map((line) => `${line}\n`)
        .join(''),
    );
  }

  #broke(): Buffer[] {
    if (!existsSync(this.folder)) return [];
    const names = readdirSync(this.folder).filter((name) => name !== REACHED);
    return names.sort().map((name) => readFileSync(join(this.folder, name)));
  }

  #reached(): Buffer[] {
    const path = join(this.folder, REACHED);
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'latin1').split('\n');
    return lines.slice(0, -1).map((line) => Buffer.from(line, 'base64'));
  }
}
