import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DiscedgeError } from 'discedge/internal/domain/errors';

/** A file that grows by whole lines and is never written over: what a run was is kept as far as it came. */
export class ResultsFile {
  readonly path: string;
  readonly #file: number;

  /** Throws `results_unusable`, also where there is such a file already. */
  constructor(path: string) {
    this.path = path;
    this.#file = this.#guarded(() => {
      mkdirSync(dirname(path), { recursive: true });
      return openSync(path, 'wx');
    });
  }

  /** The text is in the file when it returns, and on the disk once it is closed. Throws `results_unusable`. */
  append(text: string): void {
    this.#guarded(() => {
      let rest = Buffer.from(text);
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#file, rest));
    });
  }

  close(): void {
    this.#guarded(() => {
      try {
        fsyncSync(this.#file);
      } finally {
        closeSync(this.#file);
      }
    });
  }

  #guarded<T>(use: () => T): T {
    try {
      return use();
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      const reason = code === 'EEXIST' ? 'it is there already' : message;
      throw new DiscedgeError('results_unusable', `results cannot be written to ${this.path}: ${reason}`, { cause });
    }
  }
}
