import { commonPrefixLength, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { Clock } from '../../../environment/environment.ts';
import type { WarmSpan } from '../../warming/warm-account.ts';
import type { KeptState } from './kept-state.ts';
import type { MeasuredSpeeds } from './measured-speeds.ts';
import type { StateShelf } from './state-shelf.ts';

/** A KV sequence whose state goes into files and comes out of them. */
export interface FiledSequence {
  tokens(): TokenSequence;
  /** Whether its state can be cut back to any prefix of its ids; if not, it is restored only to go on from its end. */
  readonly cutsBack: boolean;
  /** Returns the file's bytes. */
  saveTo(path: string): Promise<number>;
  /** Whatever it held is gone, and after a failure it holds nothing. */
  restoreFrom(path: string): Promise<void>;
  /** Rejects where it may hold something still. */
  clear(): Promise<void>;
}

/** Whose state a sequence holds, and of how much use it has been. */
export interface HeldState {
  readonly affinity: string;
  readonly returns: number;
  readonly usedAt: number;
  readonly chance?: number | undefined;
  /** What of it is warm, where its file is to have that from now on. */
  readonly warm?: WarmSpan | undefined;
  /** All of it was evaluated ahead of need, and no turn has come to it yet. */
  readonly isAhead?: boolean | undefined;
}

/** Who comes to a sequence. */
export interface WantedState {
  readonly affinity: string;
  readonly prompt: TokenSequence;
  readonly now: number;
  readonly isReturn: boolean;
  /** It may go on from what the sequence holds. */
  readonly mayGoOn: boolean;
  /** Nothing is read into the sequence before. Does not reject. */
  readonly vacated: Promise<void>;
}

export interface RestoredState {
  /** Of the prompt, ids that came from the file. */
  readonly tokens: number;
  /** How often the session has come back. */
  readonly returns: number;
  /** What of the state is warm. */
  readonly warm: WarmSpan | undefined;
}

/** A state on its way into a file. Nothing here rejects. */
export interface Saving {
  /** The sequence may be used again. */
  readonly written: Promise<void>;
  /** Whether all of its state is in a file, which takes longer: what has been written is read once more, and sealed. */
  readonly kept: Promise<boolean>;
}

/** Decides by measured speeds which states are written to files and read from them, and has it done. */
export class StateKeeper {
  readonly #shelf: StateShelf;
  readonly #speeds: MeasuredSpeeds;
  readonly #clock: Clock;

  constructor(parts: {
    readonly shelf: StateShelf;
    readonly speeds: MeasuredSpeeds;
    readonly clock: Clock;
  }) {
    this.#shelf = parts.shelf;
    this.#speeds = parts.speeds;
    this.#clock = parts.clock;
  }

  /** Writes what the sequence holds to a file, where that pays. */
  save(sequence: FiledSequence, held: HeldState): Saving {
    let free = () => {};
    const isFree = new Promise<void>((resolve) => {
      free = resolve;
    });
    const kept = this.#save(sequence, held, free);
    return { written: Promise.race([isFree, kept]).then(() => undefined), kept };
  }

  /** `free`: called as soon as llama.cpp has written the state. */
  async #save(sequence: FiledSequence, held: HeldState, free: () => void): Promise<boolean> {
    const { affinity, returns, chance } = held;
    const ids = sequence.tokens();
    if (this.#shelf.holds({ ...held, ids })) return true;
    const keptTokens = this.keptTokens(affinity, ids);
    const state = { tokens: ids.length, keptTokens, returns };
    if (!this.#speeds.savingPays({ ...state, chance })) {
      // One that is not expected back says nothing of how fast it would be written.
      if (!this.#speeds.savingPays({ ...state, chance: 1 })) this.#speeds.save.avoided();
      return false;
    }
    const expectedBytes = this.#speeds.bytesFor(ids.length) ?? 0;
    const write = async (path: string) => {
      const startedMs = this.#clock.monotonic();
      let waitedMs = 0;
      const save = async (to: string) => {
        try {
          return await sequence.saveTo(to);
        } finally {
          waitedMs = this.#clock.monotonic() - startedMs;
          free();
        }
      };
      const written = await this.#shelf.form.write(path, { expectedBytes, save });
      // Of what follows turns take no notice, and it takes longer beside them.
      this.#speeds.saved(ids.length, written.stateBytes, waitedMs);
      return written;
    };
    return (await this.#shelf.put({ ...held, ids }, { expectedBytes, write })) !== undefined;
  }

  /**
   * Brings a session's state into the sequence where it spares more than reading it takes: for a turn that has come, or
   * ahead of one. Never rejects.
   */
  async restore(
    sequence: FiledSequence,
    { affinity, prompt, now, isReturn, mayGoOn, vacated }: WantedState,
  ): Promise<RestoredState | undefined> {
    await this.#shelf.settled(affinity);
    const kept = this.#shelf.find(affinity);
    if (kept === undefined) return undefined;
    // The prompt's last id is evaluated in any case, for its logits.
    const needed = prompt.slice(0, -1);
    const tokens = commonPrefixLength(kept.ids, needed);
    if (!sequence.cutsBack && tokens < kept.ids.length) return undefined;
    const spared = tokens - (mayGoOn ? commonPrefixLength(sequence.tokens(), needed) : 0);
    if (spared <= 0) return undefined;
    if (!this.#speeds.restoringPays(spared, kept.fileBytes)) {
      this.#speeds.restore.avoided();
      return undefined;
    }
    const read = async (path: string) => {
      const startedMs = vacated.then(() => this.#clock.monotonic());
      await this.#readProven(sequence, path, { kept, vacated });
      this.#speeds.restore.took(kept.fileBytes, this.#clock.monotonic() - (await startedMs));
    };
    const taken = await this.#shelf.take(affinity, { usedAt: now, isReturn, read });
    return taken && { tokens, returns: taken.returns, warm: taken.warm };
  }

  /** A sequence holds nothing of a file that turns out to be damaged. */
  async #readProven(
    sequence: FiledSequence,
    path: string,
    { kept, vacated }: { readonly kept: KeptState; readonly vacated: Promise<void> },
  ) {
    const { form } = this.#shelf;
    const { ids, isProven } = kept;
    const proof = form.prove(path, kept);
    let isRead = false;
    const load = async () => {
      // What this process wrote is as good as certain, and read meanwhile; what it found is not shown to llama.cpp before.
      await (isProven ? vacated : Promise.all([vacated, proof]));
      await form.read(path, kept, (from) => {
        isRead = true;
        return sequence.restoreFrom(from);
      });
    };
    try {
      const [proven, loaded] = await Promise.allSettled([proof, load()]);
      for (const part of [proven, loaded]) if (part.status === 'rejected') throw part.reason;
      const restored = sequence.tokens();
      if (restored.length !== ids.length || commonPrefixLength(restored, ids) < ids.length)
        throw new Error('the state file holds other ids than it was sealed with');
    } catch (error) {
      if (isRead) await sequence.clear();
      throw error;
    }
  }

  /** How many of the prompt's ids a session's file has the state of. */
  keptTokens(affinity: string, prompt: TokenSequence): number {
    return commonPrefixLength(this.#shelf.find(affinity)?.ids ?? [], prompt);
  }

  /** Gives room back where the disk is filling up. Never rejects. */
  yieldRoom(): Promise<void> {
    return this.#shelf.yieldRoom();
  }

  /** That a session's state will be wanted, 0 to 1, or `undefined` where nothing is foreseen any more. */
  expect(affinity: string, chance: number | undefined): void {
    this.#shelf.note(affinity, { chance });
  }

  /** See {@link StateShelf.dropWarm}. */
  dropWarm(affinity: string): void {
    void this.#shelf.dropWarm(affinity);
  }

  /** See {@link StateShelf.forget}. */
  forget(affinity: string): Promise<void> {
    return this.#shelf.forget(affinity);
  }

  /** See {@link StateShelf.forgetAll}. */
  forgetAll(isMeant: (affinity: string) => boolean): Promise<void> {
    return this.#shelf.forgetAll(isMeant);
  }
}
