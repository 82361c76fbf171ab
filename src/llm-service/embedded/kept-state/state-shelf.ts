import { createHash } from 'node:crypto';
import { renameSync, statfsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TokenSequence } from '../../../domain/token-sequence.ts';
import type { Environment } from '../../../environment/environment.ts';
import type { KeptStateStatus } from '../../llm-service.ts';
import { leastValuable, stateValue, type ValuedState } from '../../state-value.ts';
import type { WarmSpan } from '../../warming/warm-account.ts';
import { readSeal, type SealedState, type StateSeal, sealStateFile } from './state-file.ts';

/** Left free on the disk, for whom it is meant: far more than the context store asks for before it refuses turns. */
export const FREE_BYTES_MIN = 64 * 1024 * 1024;
/** Between two looks at the disk, beside those before a file is written. */
const LOOK_EVERY_MS = 1_000;

const KEPT = '.kv';
/** Being written; what a crash leaves of it is no state. */
const PART = '.part';
/** Being read: a file that ends the process while llama.cpp reads it is not read a second time. */
const READ = '.read';

/** Being removed, which may take a while for a large one. */
const GONE = '.gone';

export interface StateShelfOptions {
  /** For this model's state files alone. */
  readonly folder: string;
  readonly budgetBytes: number;
  readonly binding: string;
  /** Longer states fit into no sequence. */
  readonly tokensMax: number;
  readonly onChange: (status: KeptStateStatus) => void;
  /** Told of what was evaluated ahead of need, and goes before anyone has found it. */
  readonly onWarmLost: (span: WarmSpan) => void;
}

type Counted = Omit<KeptStateStatus, 'bytes' | 'files'>;

export interface KeptState extends ValuedState {
  readonly affinity: string;
  readonly ids: TokenSequence;
  readonly fileBytes: number;
  readonly stateBytes: number;
  readonly checksum: number;
  /** False of what an earlier process left, until it has been read. */
  readonly isProven: boolean;
  /** What of it is warm, while no sequence holds it. */
  readonly warm?: WarmSpan | undefined;
}

/** What has been written into a file. */
export type WrittenState = Pick<KeptState, 'stateBytes' | 'checksum'>;
type UnwrittenState = Omit<KeptState, 'tokens' | 'fileBytes' | 'isProven' | keyof WrittenState>;

/** Sealed state files in one folder, within a budget, the least valuable going first. Nothing here fails a turn. */
export class StateShelf {
  readonly #options: StateShelfOptions;
  readonly #environment: Environment;
  readonly #kept = new Map<string, KeptState>();
  /** The latest thing that is done with a session's file: one after the other. */
  readonly #underWay = new Map<string, Promise<unknown>>();
  #bytes = 0;
  #pendingBytes = 0;
  #removals = 0;
  #counted: Counted = { saves: 0, restores: 0, refused: 0, dropped: 0 };
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  private constructor(options: StateShelfOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
  }

  /** Takes over what an earlier process left, and removes what of it cannot be used. Throws what the file system does. */
  static async open(options: StateShelfOptions, environment: Environment): Promise<StateShelf> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    const shelf = new StateShelf(options, environment);
    await shelf.#takeOver();
    return shelf;
  }

  get affinities(): string[] {
    return [...this.#kept.keys()];
  }

  find(affinity: string): KeptState | undefined {
    return this.#kept.get(affinity);
  }

  /** What is now known of a state that is kept. */
  mark(affinity: string, known: Pick<KeptState, 'warm' | 'chance'>): void {
    const state = this.#kept.get(affinity);
    if (state === undefined) return;
    this.#warmLost(state);
    this.#kept.set(affinity, { ...state, ...known });
  }

  /**
   * That a session's state will be wanted, 0 to 1, or `undefined` where nothing is foreseen any more; applies after whatever is under
   * way with it.
   */
  expect(affinity: string, chance: number | undefined): void {
    void this.#alone(affinity, async () => {
      const state = this.#kept.get(affinity);
      if (state !== undefined) this.#kept.set(affinity, { ...state, chance });
    });
  }

  status(): KeptStateStatus {
    return { ...this.#counted, bytes: this.#bytes, files: this.#kept.size };
  }

  /** Resolves when nothing is under way with a session's file. */
  async settled(affinity: string): Promise<void> {
    await this.#underWay.get(affinity);
  }

  /**
   * Keeps a state that `write` puts into a file where there is room or something of less value.
   * Resolves with the file's bytes, or with `undefined` when it is not kept.
   */
  put(
    state: UnwrittenState,
    writing: { readonly expectedBytes: number; readonly write: (path: string) => Promise<WrittenState> },
  ): Promise<number | undefined> {
    const { affinity, ids, returns } = state;
    const { expectedBytes, write } = writing;
    return this.#alone(affinity, async () => {
      const valued = { ...state, tokens: ids.length };
      const path = this.#path(affinity);
      let pendingBytes = 0;
      try {
        if (!(await this.#makeRoom(expectedBytes, valued))) {
          this.#count('dropped');
          return undefined;
        }
        pendingBytes = expectedBytes;
        this.#pendingBytes += pendingBytes;
        const written = await write(path + PART);
        const seal: StateSeal = { binding: this.#options.binding, affinity, returns, ids, ...written };
        const fileBytes = sealStateFile(path + PART, seal);
        renameSync(path + PART, path);
        this.#add({ ...valued, ...written, fileBytes, isProven: true });
        this.#count('saves');
        // The first file tells how large they are.
        await this.#shrinkTo(this.#options.budgetBytes);
        return this.#kept.get(affinity)?.fileBytes;
      } catch (error) {
        await rm(path + PART, { force: true }).catch(() => undefined);
        this.#environment.logger.warn('llm.state_not_kept', { folder: this.#options.folder }, error);
        this.#count('dropped');
        return undefined;
      } finally {
        this.#pendingBytes -= pendingBytes;
      }
    });
  }

  /**
   * Has `read` read a session's file, once it is what it was sealed as. A file that is not, or that `read` throws at, is
   * removed and counted. `usedAt`: the turn that uses it; `isReturn`: its session has come back with it. Resolves with what
   * was read, as it is known from now on but for what of it is warm, which is its reader's; or with `undefined` when there
   * was nothing or it failed.
   */
  take(
    affinity: string,
    taking: {
      readonly usedAt: number;
      readonly isReturn: boolean;
      readonly read: (path: string, state: KeptState) => Promise<void>;
    },
  ): Promise<KeptState | undefined> {
    const { usedAt, isReturn, read } = taking;
    return this.#alone(affinity, async () => {
      const state = this.#kept.get(affinity);
      if (state === undefined) return undefined;
      const path = this.#path(affinity);
      const used = {
        ...state,
        isProven: true,
        usedAt,
        ...(isReturn && { returns: state.returns + 1, chance: undefined }),
      };
      const held = { ...state, warm: undefined };
      this.#kept.set(affinity, held);
      try {
        this.#verify(path, state);
        renameSync(path, path + READ);
        await read(path + READ, state);
        // Room may have been needed meanwhile.
        if (this.#kept.get(affinity) === held) {
          renameSync(path + READ, path);
          this.#kept.set(affinity, { ...used, warm: undefined });
        } else await rm(path + READ);
      } catch (error) {
        await rm(path + READ, { force: true }).catch(() => undefined);
        this.#environment.logger.warn('llm.state_refused', { folder: this.#options.folder }, error);
        this.#warmLost(state);
        await this.#remove(held);
        this.#count('refused');
        return undefined;
      }
      this.#count('restores');
      return used;
    });
  }

  /** Removes a session's state, after whatever is under way with it. */
  forget(affinity: string): Promise<void> {
    return this.#alone(affinity, async () => {
      const state = this.#kept.get(affinity);
      if (state === undefined) return;
      await this.#remove(state);
      this.#tell();
    });
  }

  /** Gives room back where the disk is filling up, whoever fills it. Looks once a second at most. */
  async yieldRoom(): Promise<void> {
    const nowMs = this.#environment.clock.monotonic();
    if (this.#kept.size === 0 || nowMs - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = nowMs;
    try {
      await this.#shrinkTo(this.#bytes - Math.max(0, FREE_BYTES_MIN - this.#freeBytes()));
    } catch {
      // The folder may be gone: the next file that is written or read will say so.
    }
  }

  async #takeOver(): Promise<void> {
    const { folder, binding, tokensMax, budgetBytes } = this.#options;
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const seal = name.endsWith(KEPT) ? readSealOrNone(path) : undefined;
      const fits =
        seal !== undefined &&
        seal.binding === binding &&
        seal.ids.length <= tokensMax &&
        path === this.#path(seal.affinity);
      if (fits) this.#add({ ...seal, tokens: seal.ids.length, usedAt: 0, isProven: false });
      else {
        if (name.endsWith(KEPT)) this.#count('refused');
        await rm(path, { force: true, recursive: true });
      }
    }
    await this.#shrinkTo(budgetBytes);
    this.#tell();
  }

  #verify(path: string, { affinity, ids, fileBytes, checksum }: KeptState): void {
    const seal = readSeal(path);
    const isSame =
      seal?.binding === this.#options.binding &&
      seal.affinity === affinity &&
      seal.fileBytes === fileBytes &&
      seal.checksum === checksum &&
      seal.ids.length === ids.length &&
      seal.ids.every((id, i) => id === ids[i]);
    if (!isSame) throw new Error('the state file is not what was written');
  }

  /** False where all that is kept is worth more. */
  async #makeRoom(bytes: number, forState: ValuedState): Promise<boolean> {
    const now = forState.usedAt;
    const freeBytes = this.#freeBytes();
    const inBudget = this.#options.budgetBytes - this.#bytes - this.#pendingBytes;
    let roomBytes = Math.min(inBudget, freeBytes - FREE_BYTES_MIN - this.#pendingBytes);
    while (roomBytes < bytes) {
      const least = leastValuable(this.#kept.values(), now);
      if (least === undefined || stateValue(least, now) > stateValue(forState, now)) return false;
      await this.#drop(least);
      roomBytes += least.fileBytes;
    }
    return true;
  }

  async #shrinkTo(bytesMax: number): Promise<void> {
    if (this.#bytes <= bytesMax) return;
    const now = Math.max(0, ...[...this.#kept.values()].map(({ usedAt }) => usedAt));
    while (this.#bytes > bytesMax) {
      const least = leastValuable(this.#kept.values(), now);
      if (least === undefined) return;
      await this.#drop(least);
    }
  }

  async #drop(state: KeptState): Promise<void> {
    await this.#remove(state);
    this.#count('dropped');
  }

  /**
   * Its name is free at once, for a newer state of the session; what is being read has another name, and goes when it has
   * been read.
   */
  async #remove(state: KeptState): Promise<void> {
    if (this.#kept.get(state.affinity) !== state) return;
    this.#kept.delete(state.affinity);
    this.#warmLost(state);
    this.#bytes -= state.fileBytes;
    const path = this.#path(state.affinity);
    const gone = `${path}${GONE}${++this.#removals}`;
    try {
      renameSync(path, gone);
      await rm(gone);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#environment.logger.warn('llm.state_not_removed', { folder: this.#options.folder }, error);
    }
  }

  #add(state: KeptState): void {
    const before = this.#kept.get(state.affinity);
    if (before !== undefined) this.#warmLost(before);
    this.#bytes += state.fileBytes - (before?.fileBytes ?? 0);
    this.#kept.set(state.affinity, state);
  }

  #warmLost({ warm }: KeptState): void {
    if (warm !== undefined) this.#options.onWarmLost(warm);
  }

  #freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#options.folder);
    return bavail * bsize;
  }

  #path(affinity: string): string {
    const name = createHash('sha256').update(affinity).digest('hex').slice(0, 32);
    return join(this.#options.folder, name + KEPT);
  }

  async #alone<T>(affinity: string, task: () => Promise<T>): Promise<T> {
    const before = this.#underWay.get(affinity);
    const running = before === undefined ? task() : before.then(task);
    const ended = running.then(
      () => undefined,
      () => undefined,
    );
    this.#underWay.set(affinity, ended);
    try {
      return await running;
    } finally {
      if (this.#underWay.get(affinity) === ended) this.#underWay.delete(affinity);
    }
  }

  #count(what: keyof Counted): void {
    this.#counted = { ...this.#counted, [what]: this.#counted[what] + 1 };
    this.#tell();
  }

  #tell(): void {
    this.#options.onChange(this.status());
  }
}

function readSealOrNone(path: string): SealedState | undefined {
  try {
    return readSeal(path);
  } catch {
    return undefined;
  }
}
