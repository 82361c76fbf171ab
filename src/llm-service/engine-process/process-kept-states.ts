import type { KeptStateStatus, KeptStates } from '../llm-service.ts';
import type { EngineLink, EngineListener } from './engine-link.ts';

const NONE: KeptStateStatus = { bytes: 0, files: 0, saves: 0, restores: 0, refused: 0, dropped: 0 };

/** What the engines of one model have kept, one after the other: each counts from its own start, this from the node's. */
export class ProcessKeptStates {
  #before = NONE;
  #now = NONE;
  #found: readonly string[] = [];
  #onFound: ((affinities: readonly string[]) => void) | undefined;

  /** Whether an engine has said that it keeps any. */
  keeps = false;

  readonly listener: Pick<EngineListener, 'onKept' | 'onFound'> = {
    onKept: (status) => {
      this.keeps = true;
      this.#now = status;
    },
    onFound: (affinities) => {
      this.#found = affinities;
      this.#onFound?.(affinities);
    },
  };

  /** An engine has ended. What it kept is still there. */
  ended(): void {
    this.#before = this.#status();
    this.#now = { ...NONE, bytes: this.#now.bytes, files: this.#now.files };
  }

  /** The port to them, by way of the engine that runs; where there is none, its files are found when the next one starts. */
  through(link: () => EngineLink | undefined): KeptStates {
    return {
      status: () => this.#status(),
      forget: (affinity) => link()?.tell({ kind: 'forget', affinity }),
      onFound: (listener) => {
        this.#onFound = listener;
        listener(this.#found);
      },
    };
  }

  #status(): KeptStateStatus {
    const { bytes, files } = this.#now;
    const sum = (what: 'saves' | 'restores' | 'refused' | 'dropped') => this.#before[what] + this.#now[what];
    const counted = { saves: sum('saves'), restores: sum('restores') };
    return { bytes, files, ...counted, refused: sum('refused'), dropped: sum('dropped') };
  }
}
