import { statfs } from 'node:fs/promises';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Environment } from '../../environment/environment.ts';

/**
 * Left free for removing: LMDB writes new pages for every change, so on a disk filled to the last byte nothing could be
 * deleted or expired either. One removal of the size that store-limits.ts allows rewrites no more than this.
 */
export const DISK_RESERVE_BYTES = 8 * 1024 * 1024;

/** Between two looks at the disk: asking costs as much as an append. */
export const LOOK_EVERY_MS = 1_000;

/** Knows, up to a second late, whether the disk has room for turns. */
export class DiskReserve {
  readonly #path: string;
  readonly #environment: Environment;
  #freeBytes = Number.POSITIVE_INFINITY;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(path: string, environment: Environment) {
    this.#path = path;
    this.#environment = environment;
  }

  /** Throws `store_unavailable` when only the reserve is left. */
  requireRoom(): void {
    const nowMs = this.#environment.clock.monotonic();
    if (nowMs - this.#lookedAtMs >= LOOK_EVERY_MS) {
      this.#lookedAtMs = nowMs;
      void this.look();
    }
    if (this.#freeBytes >= DISK_RESERVE_BYTES) return;
    const [free, reserve] = [this.#freeBytes, DISK_RESERVE_BYTES].map((bytes) => Math.floor(bytes / 1024));
    throw new DiscedgeError(
      'store_unavailable',
      `the context store takes no turns: its disk has ${free} KiB free, and ${reserve} KiB are kept for deletion and expiry`,
    );
  }

  /** Never rejects: where the file system cannot say how full it is, writing will show it. */
  async look(): Promise<void> {
    try {
      const { bavail, bsize } = await statfs(this.#path);
      this.#freeBytes = bavail * bsize;
    } catch {
      this.#freeBytes = Number.POSITIVE_INFINITY;
    }
  }
}
