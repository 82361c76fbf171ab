import { type FileHandle, open } from 'node:fs/promises';
import { DiscedgeError } from '../../domain/errors.ts';

/** Taken at once, so that most commits find their room taken already. */
const STEP_BYTES = 1024 * 1024;
/** Of a large file a larger step, up to this: it is written, and so must not keep a commit waiting for long. */
const STEP_BYTES_MAX = 32 * 1024 * 1024;
const STEPS_PER_FILE = 16;
const ZEROS = new Uint8Array(STEP_BYTES);
/** Where a file system says that a file is written in full, in its own unit. */
const BLOCK_BYTES = 512;
const PAGE_BYTES = 4096;

/**
 * The disk's room under a data file, taken before it is needed: written with zeros, so that whoever fills the disk, no write
 * into it can fail for want of space. lmdb must never meet such a failure (docs/dependencies.md).
 */
export class DataRoom {
  readonly #path: string;
  #file: FileHandle | undefined;
  #takenBytes = 0;
  /** Whether everything before `#takenBytes` is room indeed. */
  #whole = false;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Makes sure of `bytes` behind `endBytes`, up to which the file is in use. No write to the file may be under way. Throws
   * `store_unavailable` when the disk is too full.
   */
  async require(endBytes: number, bytes: number): Promise<void> {
    const neededBytes = endBytes + bytes;
    if (this.#whole && neededBytes <= this.#takenBytes) return;
    try {
      this.#file ??= await open(this.#path, 'r+');
      await this.#makeWhole(this.#file);
      if (neededBytes <= this.#takenBytes) return;
      const step = Math.min(STEP_BYTES_MAX, Math.max(STEP_BYTES, endBytes / STEPS_PER_FILE));
      await this.#take(this.#file, neededBytes, Math.ceil((neededBytes + step) / PAGE_BYTES) * PAGE_BYTES);
    } catch (error) {
      throw new DiscedgeError(
        'store_unavailable',
        `the context store cannot write: its disk has no room for ${Math.ceil(bytes / 1024)} KiB (${(error as Error).message})`,
        { cause: error },
      );
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Once: what an earlier build left as holes, pages that were reserved and never written, is written with zeros. */
  async #makeWhole(file: FileHandle): Promise<void> {
    if (this.#whole) return;
    const { size, blocks } = await file.stat();
    if (blocks * BLOCK_BYTES < size) {
      const chunk = new Uint8Array(STEP_BYTES);
      for (let at = 0; at < size; at += chunk.length) {
        const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
        for (let page = 0; page < bytesRead; page += PAGE_BYTES) {
          const length = Math.min(PAGE_BYTES, bytesRead - page);
          const isEmpty = chunk.subarray(page, page + length).every((byte) => byte === 0);
          if (isEmpty) await file.write(ZEROS, 0, length, at + page);
        }
      }
      await file.datasync();
    }
    this.#takenBytes = size;
    this.#whole = true;
  }

  /** As far as `wantedBytes`; at least to `neededBytes`, or it throws. */
  async #take(file: FileHandle, neededBytes: number, wantedBytes: number): Promise<void> {
    try {
      while (this.#takenBytes < wantedBytes) {
        const length = Math.min(ZEROS.length, wantedBytes - this.#takenBytes);
        const { bytesWritten } = await file.write(ZEROS, 0, length, this.#takenBytes);
        this.#takenBytes += bytesWritten;
      }
    } catch (error) {
      if (this.#takenBytes < neededBytes) throw error;
    }
    await file.datasync();
  }
}
