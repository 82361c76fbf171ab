import type { Environment } from '../../../environment/environment.ts';
import { OneAfterAnother } from '../../../waiting/one-after-another.ts';
import type { KeptStateStatus } from '../../llm-service.ts';
import { leastValuable, stateValue, type ValuedState } from '../../state-value.ts';
import type { WarmSpan } from '../../warming/warm-account.ts';
import type { KeptState, UnwrittenState } from './kept-state.ts';
import { KeptStates } from './kept-states.ts';
import { StateFolder } from './state-folder.ts';
import { IN_THE_CLEAR, type StateForm, type WrittenState } from './state-form.ts';

/** Left free on the disk, for whom it is meant: far more than the context store asks for before it refuses turns. */
export const FREE_BYTES_MIN = 64 * 1024 * 1024;
/** Between two looks at the disk, beside those before a file is written. */
const LOOK_EVERY_MS = 1_000;

export interface StateShelfOptions {
  /** For this model's state files alone. */
  readonly folder: string;
  readonly budgetBytes: number;
  readonly binding: string;
  /** In the clear where left out. */
  readonly form?: StateForm | undefined;
  /** Longer states fit into no sequence. */
  readonly tokensMax: number;
  readonly onChange: (status: KeptStateStatus) => void;
  /** Told of what was evaluated ahead of need, and goes before anyone has found it. */
  readonly onWarmLost: (span: WarmSpan) => void;
}

type Counted = Omit<KeptStateStatus, 'bytes' | 'files'>;

/** Sealed state files in one folder, within a budget, the least valuable going first. Nothing here fails a turn. */
export class StateShelf {
  /** How each state lies in its file. */
  readonly form: StateForm;
  readonly #options: StateShelfOptions;
  readonly #environment: Environment;
  readonly #folder: StateFolder;
  readonly #kept: KeptStates;
  /** What is done with a session's file. */
  readonly #files = new OneAfterAnother();
  #pendingBytes = 0;
  #counted: Counted = { saves: 0, restores: 0, refused: 0, dropped: 0 };
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  private constructor(options: StateShelfOptions, folder: StateFolder, environment: Environment) {
    this.form = folder.form;
    this.#kept = new KeptStates(options.onWarmLost);
    this.#options = options;
    this.#folder = folder;
    this.#environment = environment;
  }

  /** Takes over what an earlier process left, and removes what of it cannot be used. Throws what the file system does. */
  static async open(options: StateShelfOptions, environment: Environment): Promise<StateShelf> {
    const folder = await StateFolder.open(options.folder, options.binding, options.form ?? IN_THE_CLEAR);
    const shelf = new StateShelf(options, folder, environment);
    await shelf.#takeOver();
    return shelf;
  }

  get affinities(): string[] {
    return this.#kept.affinities;
  }

  find(affinity: string): KeptState | undefined {
    return this.#kept.find(affinity);
  }

  /** Whether all of a state is in its session's file, of which is known from now on what is known of the state. */
  holds({ affinity, ids, warm, chance, isAhead }: UnwrittenState): boolean {
    if (!this.#kept.holdsAll(affinity, ids)) return false;
    if (warm === undefined) this.note(affinity, { chance, isAhead });
    else this.#kept.note(affinity, { warm, chance, isAhead });
    return true;
  }

  /** Whether a session's state will be wanted, and all of it was evaluated ahead of need: after whatever is under way with it. */
  note(affinity: string, known: Pick<KeptState, 'chance' | 'isAhead'>): void {
    void this.#files.run(affinity, async () => this.#kept.note(affinity, known));
  }

  status(): KeptStateStatus {
    return { ...this.#counted, bytes: this.#kept.bytes, files: this.#kept.count };
  }

  /** Resolves when nothing is under way with a session's file. */
  async settled(affinity: string): Promise<void> {
    await this.#files.settled(affinity);
  }

  /**
   * Keeps a state that `write` puts into a file where there is room or something of less value.
   * Resolves with the file's bytes, or with `undefined` when it is not kept.
   */
  put(
    state: UnwrittenState,
    writing: { readonly expectedBytes: number; readonly write: (path: string) => Promise<WrittenState> },
  ): Promise<number | undefined> {
    const { expectedBytes, write } = writing;
    const { affinity, ids, returns } = state;
    return this.#files.run(affinity, async () => {
      const valued = { ...state, tokens: ids.length };
      let pendingBytes = 0;
      try {
        // It may have been on its way.
        if (this.holds(state)) return this.find(affinity)?.fileBytes;
        if (!(await this.#makeRoom(expectedBytes, valued))) {
          this.#count('dropped');
          return undefined;
        }
        pendingBytes = expectedBytes;
        this.#pendingBytes += pendingBytes;
        const written = await this.#folder.write({ affinity, returns, ids }, write);
        this.#kept.add({ ...valued, ...written, isProven: true });
        this.#count('saves');
        // The first file tells how large they are.
        await this.#shrinkTo(this.#options.budgetBytes);
        return this.find(affinity)?.fileBytes;
      } catch (error) {
        this.#warn('llm.state_not_kept', error);
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
    return this.#files.run(affinity, async () => {
      const state = this.find(affinity);
      if (state === undefined) return undefined;
      const used = {
        ...state,
        isProven: true,
        usedAt,
        ...(isReturn && { returns: state.returns + 1, chance: undefined, isAhead: false }),
      };
      const held = this.#kept.hand(state);
      try {
        // Room may be needed meanwhile.
        const isWanted = () => this.find(affinity) === held;
        await this.#folder.read(state, { read: (path) => read(path, state), isWanted });
        if (isWanted()) this.#kept.hand(used);
      } catch (error) {
        this.#warn('llm.state_refused', error);
        if (state.warm !== undefined) this.#options.onWarmLost(state.warm);
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
    return this.#files.run(affinity, async () => {
      const state = this.find(affinity);
      if (state === undefined && !this.#folder.unremoved.has(affinity)) return;
      await (state === undefined ? this.#removeFile(affinity) : this.#remove(state));
      this.#tell();
    });
  }

  /** {@link forget}, of all of these sessions. Throws where a file of theirs is still there. */
  async forgetAll(isMeant: (affinity: string) => boolean): Promise<void> {
    const known = new Set([...this.affinities, ...this.#files.keys, ...this.#folder.unremoved.keys()]);
    await Promise.all([...known].filter(isMeant).map((affinity) => this.forget(affinity)));
    // Some may have been on their way out for want of room.
    await this.#folder.settled();
    if ([...this.#folder.unremoved.keys()].some(isMeant)) throw new Error('state files could not be removed');
  }

  /** Removes a state that was all evaluated ahead of need, after whatever is under way with it; of another nothing counts as warm. */
  dropWarm(affinity: string): Promise<void> {
    return this.#files.run(affinity, async () => {
      const state = this.find(affinity);
      if (state?.isAhead !== true) {
        this.#kept.note(affinity, { warm: undefined });
        return;
      }
      await this.#remove(state);
      this.#tell();
    });
  }

  /** Gives room back where the disk is filling up, whoever fills it. Looks once a second at most. */
  async yieldRoom(): Promise<void> {
    const nowMs = this.#environment.clock.monotonic();
    if (this.#kept.count === 0 || nowMs - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = nowMs;
    try {
      await this.#shrinkTo(this.#kept.bytes - Math.max(0, FREE_BYTES_MIN - this.#folder.freeBytes()));
    } catch {
      // The folder may be gone: the next file that is written or read will say so.
    }
  }

  async #takeOver(): Promise<void> {
    const { tokensMax, budgetBytes } = this.#options;
    const { found, refused } = await this.#folder.takeOver(tokensMax);
    for (const seal of found) this.#kept.add({ ...seal, tokens: seal.ids.length, usedAt: 0, isProven: false });
    this.#counted = { ...this.#counted, refused };
    await this.#shrinkTo(budgetBytes);
    this.#tell();
  }

  /** False where all that is kept is worth more. */
  async #makeRoom(bytes: number, forState: ValuedState): Promise<boolean> {
    const now = forState.usedAt;
    const freeBytes = this.#folder.freeBytes();
    const inBudget = this.#options.budgetBytes - this.#kept.bytes - this.#pendingBytes;
    let roomBytes = Math.min(inBudget, freeBytes - FREE_BYTES_MIN - this.#pendingBytes);
    while (roomBytes < bytes) {
      const least = leastValuable(this.#kept.all(), now);
      if (least === undefined || stateValue(least, now) > stateValue(forState, now)) return false;
      await this.#drop(least);
      roomBytes += least.fileBytes;
    }
    return true;
  }

  async #shrinkTo(bytesMax: number): Promise<void> {
    if (this.#kept.bytes <= bytesMax) return;
    const now = Math.max(0, ...[...this.#kept.all()].map(({ usedAt }) => usedAt));
    while (this.#kept.bytes > bytesMax) {
      const least = leastValuable(this.#kept.all(), now);
      if (least === undefined) return;
      await this.#drop(least);
    }
  }

  async #drop(state: KeptState): Promise<void> {
    await this.#remove(state);
    this.#count('dropped');
  }

  /** What is being read goes when it has been read. */
  async #remove(state: KeptState): Promise<void> {
    if (this.#kept.remove(state)) await this.#removeFile(state.affinity);
  }

  #removeFile(affinity: string): Promise<void> {
    return this.#folder.remove(affinity).catch((error: unknown) => this.#warn('llm.state_not_removed', error));
  }

  #warn(event: string, error: unknown): void {
    this.#environment.logger.warn(event, { folder: this.#options.folder }, error);
  }

  #count(what: keyof Counted): void {
    this.#counted = { ...this.#counted, [what]: this.#counted[what] + 1 };
    this.#tell();
  }

  #tell(): void {
    this.#options.onChange(this.status());
  }
}
