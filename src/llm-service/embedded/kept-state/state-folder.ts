import { createHash } from 'node:crypto';
import { renameSync, statfsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SealedState, StateSeal } from './state-file.ts';
import type { StateForm, WrittenState } from './state-form.ts';

const KEPT = '.kv';
/** Being written; what a crash leaves of it is no state. */
const PART = '.part';
/** Being read: a file that ends the process while llama.cpp reads it is not read a second time. */
const READ = '.read';
/** Being removed, which may take a while for a large one. */
const GONE = '.gone';

/** The sealed state files of one model in one folder, a session's under a name of its own. Throws what the file system does. */
export class StateFolder {
  readonly path: string;
  readonly #binding: string;
  readonly form: StateForm;
  readonly #removals = new Set<Promise<void>>();
  /** By whose they are. */
  readonly #unremoved = new Map<string, Set<string>>();
  #lastRemoval = 0;

  private constructor(path: string, binding: string, form: StateForm) {
    this.path = path;
    this.#binding = binding;
    this.form = form;
  }

  /** `binding`: what files are sealed with and read for; see state-binding.ts. */
  static async open(path: string, binding: string, form: StateForm): Promise<StateFolder> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return new StateFolder(path, binding, form);
  }

  /** What an earlier process left and is of use, longer than `tokensMax` not; removes the rest. `refused`: state files among that. */
  async takeOver(tokensMax: number): Promise<{ readonly found: readonly SealedState[]; readonly refused: number }> {
    const found: SealedState[] = [];
    let refused = 0;
    for (const name of await readdir(this.path)) {
      const path = join(this.path, name);
      const isState = name.endsWith(KEPT);
      const seal = isState ? readSealOrNone(this.form, path) : undefined;
      const fits =
        seal?.binding === this.#binding && seal.ids.length <= tokensMax && path === this.#pathOf(seal.affinity);
      if (fits) found.push(seal);
      else {
        if (isState) refused++;
        await rm(path, { force: true, recursive: true });
      }
    }
    return { found, refused };
  }

  /** Seals what `write` puts into a file, in place of what there was of the session. A failure leaves that. */
  async write(
    state: Omit<StateSeal, 'binding' | keyof WrittenState>,
    write: (path: string) => Promise<WrittenState>,
  ): Promise<WrittenState & { readonly fileBytes: number }> {
    const path = this.#pathOf(state.affinity);
    this.#isAnother(state.affinity, path + PART);
    try {
      const written = await write(path + PART);
      const fileBytes = this.form.seal(path + PART, { binding: this.#binding, ...state, ...written });
      renameSync(path + PART, path);
      return { ...written, fileBytes };
    } catch (error) {
      await this.#removeFile(state.affinity, path + PART).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Has `read` read a session's file, once it is what it was sealed as. The file stays if it `isWanted` afterwards; one that
   * is not what it was, or that `read` throws at, is removed.
   */
  async read(
    sealed: Omit<SealedState, 'binding'>,
    { read, isWanted }: { readonly read: (path: string) => Promise<void>; readonly isWanted: () => boolean },
  ): Promise<void> {
    const path = this.#pathOf(sealed.affinity);
    try {
      this.#verify(path, sealed);
      renameSync(path, path + READ);
      this.#isAnother(sealed.affinity, path + READ);
      await read(path + READ);
      if (isWanted()) renameSync(path + READ, path);
      else await this.#removeFile(sealed.affinity, path + READ);
    } catch (error) {
      await this.#removeFile(sealed.affinity, path + READ).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Its name is free at once, for a newer state of the session; what is being read has another name. What of the session could not be
   * removed before is tried again.
   */
  remove(affinity: string): Promise<void> {
    const removal = this.#remove(affinity).finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
    return removal;
  }

  /** Whose files, one or more, could not be removed the last time. */
  get unremoved(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#unremoved;
  }

  /** Resolves when no removal is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#removals);
  }

  async #remove(affinity: string): Promise<void> {
    const path = this.#pathOf(affinity);
    const gone = `${path}${GONE}${++this.#lastRemoval}`;
    this.#isAnother(affinity, path);
    const paths = new Set(this.#unremoved.get(affinity)).add(gone);
    try {
      renameSync(path, gone);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') paths.add(path);
    }
    const removals = await Promise.allSettled([...paths].map((one) => this.#removeFile(affinity, one)));
    for (const removal of removals) if (removal.status === 'rejected') throw removal.reason;
  }

  /** Knows of a file until it is gone. */
  async #removeFile(affinity: string, path: string): Promise<void> {
    try {
      await rm(path, { force: true });
      this.#isAnother(affinity, path);
    } catch (error) {
      this.#unremoved.set(affinity, new Set(this.#unremoved.get(affinity)).add(path));
      throw error;
    }
  }

  /** What could not be removed there is not there any more, or is about to be replaced. */
  #isAnother(affinity: string, path: string): void {
    const paths = this.#unremoved.get(affinity);
    paths?.delete(path);
    if (paths?.size === 0) this.#unremoved.delete(affinity);
  }

  /** Of the disk, for whom it is meant. */
  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  #verify(path: string, { affinity, ids, fileBytes, checksum }: Omit<SealedState, 'binding'>): void {
    const seal = this.form.readSeal(path);
    const isSame =
      seal?.binding === this.#binding &&
      seal.affinity === affinity &&
      seal.fileBytes === fileBytes &&
      seal.checksum === checksum &&
      seal.ids.length === ids.length &&
      seal.ids.every((id, i) => id === ids[i]);
    if (!isSame) throw new Error('the state file is not what was written');
  }

  #pathOf(affinity: string): string {
    const name = createHash('sha256').update(affinity).digest('hex').slice(0, 32);
    return join(this.path, name + KEPT);
  }
}

function readSealOrNone(form: StateForm, path: string): SealedState | undefined {
  try {
    return form.readSeal(path);
  } catch {
    return undefined;
  }
}
