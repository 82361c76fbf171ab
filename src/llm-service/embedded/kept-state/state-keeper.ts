import { commonPrefixLength, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { Clock } from '../../../environment/environment.ts';
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
}

/** Whose state a sequence holds, and of how much use it has been. */
export interface HeldState {
  readonly affinity: string;
  readonly returns: number;
  readonly usedAt: number;
}

/** Decides by measured speeds which states are written to files and read from them, and has it done. */
export class StateKeeper {
  readonly #shelf: StateShelf;
  readonly #speeds: MeasuredSpeeds;
  readonly #clock: Clock;

  constructor(parts: { readonly shelf: StateShelf; readonly speeds: MeasuredSpeeds; readonly clock: Clock }) {
    this.#shelf = parts.shelf;
    this.#speeds = parts.speeds;
    this.#clock = parts.clock;
  }

  /** Writes what the sequence holds to a file, where that pays. Never rejects. */
  async save(sequence: FiledSequence, held: HeldState): Promise<void> {
    const { affinity, returns } = held;
    const ids = sequence.tokens();
    const keptTokens = commonPrefixLength(this.#shelf.find(affinity)?.ids ?? [], ids);
    if (keptTokens === ids.length) return;
    if (!this.#speeds.savingPays({ tokens: ids.length, keptTokens, returns })) {
      this.#speeds.save.avoided();
      return;
    }
    const write = async (path: string) => {
      const startedMs = this.#clock.monotonic();
      const bytes = await sequence.saveTo(path);
      this.#speeds.saved(ids.length, bytes, this.#clock.monotonic() - startedMs);
      return bytes;
    };
    await this.#shelf.put({ ...held, ids }, { expectedBytes: this.#speeds.bytesFor(ids.length) ?? 0, write });
  }

  /**
   * Brings a session's state into the sequence where it spares more than reading it takes. Returns how many ids of the
   * prompt came from the file, and how often the session has come back. Never rejects.
   */
  async restore(
    sequence: FiledSequence,
    { affinity, prompt, now }: { readonly affinity: string; readonly prompt: TokenSequence; readonly now: number },
  ): Promise<{ readonly tokens: number; readonly returns: number } | undefined> {
    await this.#shelf.settled(affinity);
    const kept = this.#shelf.find(affinity);
    if (kept === undefined) return undefined;
    // The prompt's last id is evaluated in any case, for its logits.
    const needed = prompt.slice(0, -1);
    const tokens = commonPrefixLength(kept.ids, needed);
    if (!sequence.cutsBack && tokens < kept.ids.length) return undefined;
    const spared = tokens - commonPrefixLength(sequence.tokens(), needed);
    if (spared <= 0) return undefined;
    if (!this.#speeds.restoringPays(spared, kept.fileBytes)) {
      this.#speeds.restore.avoided();
      return undefined;
    }
    const read = async (path: string) => {
      const startedMs = this.#clock.monotonic();
      await sequence.restoreFrom(path);
      this.#speeds.restore.took(kept.fileBytes, this.#clock.monotonic() - startedMs);
      const ids = sequence.tokens();
      if (ids.length !== kept.ids.length || commonPrefixLength(ids, kept.ids) < ids.length)
        throw new Error('the state file holds other ids than it was sealed with');
    };
    const taken = await this.#shelf.take(affinity, { usedAt: now, read });
    return taken && { tokens, returns: taken.returns + 1 };
  }

  /** Told what an evaluation took, so that the others can be compared with it. */
  evaluated(tokens: number, ms: number): void {
    this.#speeds.evaluate.took(tokens, ms);
  }

  /** Gives room back where the disk is filling up. Never rejects. */
  yieldRoom(): Promise<void> {
    return this.#shelf.yieldRoom();
  }

  forget(affinity: string): void {
    void this.#shelf.forget(affinity);
  }
}
