import { type FileHandle, open, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { Environment } from '../../../environment/environment.ts';

/**
 * Left free for removing: what is deleted is written, too, and LevelDB merges files of up to so many bytes into new ones before
 * it gives the old ones back. So on a disk filled to the last byte nothing could be deleted or expired either.
 */
export const DISK_RESERVE_BYTES = 32 * 1024 * 1024;

/** Kept in a file where the disk is not far from full: whoever fills it, a start and some deletions find room. */
export const BALLAST_BYTES = 16 * 1024 * 1024;

/** A disk with more room than this needs no ballast. */
const BALLAST_BELOW_BYTES = 1024 * 1024 * 1024;

/** Between two looks at the disk: asking costs as much as an append. */
export const LOOK_EVERY_MS = 1_000;

const STEP = new Uint8Array(1024 * 1024);
const TRIAL_BYTES = 4096;

/** Knows, up to a second late, whether the disk has room for turns, and keeps some for what is not a turn. */
export class DiskReserve {
  readonly #folder: string;
  readonly #environment: Environment;
  #freeBytes = Number.POSITIVE_INFINITY;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(folder: string, environment: Environment) {
    this.#folder = folder;
    this.#environment = environment;
  }

  /** As last seen. */
  get freeKiB(): number {
    return Math.floor(this.#freeBytes / 1024);
  }

  /** Throws `store_unavailable` when only the reserve is left. */
  requireRoom(): void {
    const nowMs = this.#environment.clock.monotonic();
    if (nowMs - this.#lookedAtMs >= LOOK_EVERY_MS) {
      this.#lookedAtMs = nowMs;
      void this.look();
    }
    if (this.#freeBytes >= DISK_RESERVE_BYTES) return;
    throw new DiscedgeError(
      'store_unavailable',
      `the context store takes no turns: its disk has ${this.freeKiB} KiB free, and ${DISK_RESERVE_BYTES / 1024} KiB are kept for deletion and expiry`,
    );
  }

  /** Never rejects: where the file system cannot say how full it is, writing will show it. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    this.#freeBytes = await this.#freeNow();
    if (this.#freeBytes < DISK_RESERVE_BYTES + BALLAST_BYTES || this.#freeBytes > BALLAST_BELOW_BYTES) return;
    if (await this.#hasBallast()) return;
    await this.#makeBallast().catch(() => this.releaseBallast());
    this.#freeBytes = await this.#freeNow();
  }

  async #freeNow(): Promise<number> {
    try {
      const { bavail, bsize } = await statfs(this.#folder);
      return bavail * bsize;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  /**
   * Whether the disk takes writes and syncs, as one small file shows, and has room to open a database again, for which the
   * ballast goes where there is none beside it. Throws what the system says.
   */
  async tryDisk(): Promise<void> {
    this.#freeBytes = await this.#freeNow();
    if (this.#freeBytes < BALLAST_BYTES) await this.releaseBallast();
    this.#freeBytes = await this.#freeNow();
    if (this.#freeBytes < BALLAST_BYTES / 2) throw new Error(`its disk has ${this.freeKiB} KiB free`);
    const trial = join(this.#folder, 'trial');
    try {
      await writtenFile(trial, (file) => file.write(STEP, 0, TRIAL_BYTES));
    } finally {
      await rm(trial, { force: true });
    }
  }

  async releaseBallast(): Promise<void> {
    await rm(this.#ballastPath, { force: true });
  }

  get #ballastPath(): string {
    return join(this.#folder, 'reserve');
  }

  async #hasBallast(): Promise<boolean> {
    return stat(this.#ballastPath).then(
      ({ size }) => size >= BALLAST_BYTES,
      () => false,
    );
  }

  #makeBallast(): Promise<void> {
    return writtenFile(this.#ballastPath, async (file) => {
      for (let at = 0; at < BALLAST_BYTES; at += STEP.length) await file.write(STEP, 0, STEP.length, at);
    });
  }
}

async function writtenFile(path: string, write: (file: FileHandle) => Promise<unknown>): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await write(file);
    await file.datasync();
  } finally {
    await file.close();
  }
}
