import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';

/** The file that `skewed-clock.c` reads: how far the clock of a process is ahead. */
export class ClockFile {
  readonly path: string;

  /** Created, and right. */
  constructor(path: string) {
    this.path = path;
    const file = openSync(path, 'w');
    ftruncateSync(file, 8);
    closeSync(file);
  }

  /** From now on the processes that were started with it take it to be that much later. */
  set(aheadMs: number): void {
    const file = openSync(this.path, 'r+');
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(Math.round(aheadMs)));
    writeSync(file, bytes, 0, 8, 0);
    closeSync(file);
  }
}
