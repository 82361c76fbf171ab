import { fileChecksum } from './file-checksum.ts';
import { readSeal, type SealedState, type StateSeal, sealStateFile } from './state-file.ts';

/** What has been written into a file. */
export type WrittenState = Pick<StateSeal, 'stateBytes' | 'checksum'>;

/** How a state lies in its file. Everything here throws what the file system does. */
export interface StateForm {
  /**
   * Brings into the file at `path` what `save` writes into the one that it is told, returning its bytes. `expectedBytes`: of the
   * state, 0 where nobody knows.
   */
  write(
    path: string,
    writing: { readonly expectedBytes: number; readonly save: (path: string) => Promise<number> },
  ): Promise<WrittenState>;
  /** Ends a file that has been written so with what it is bound to. Returns the file's bytes. */
  seal(path: string, seal: StateSeal): number;
  /** `undefined` for a file that is not whole, or not of this form. */
  readSeal(path: string): SealedState | undefined;
  /** Throws where what is there is not what was written; at once where only {@link read} can tell. */
  prove(path: string, state: WrittenState): Promise<void>;
  /** Has `load` read a state. */
  read(path: string, state: WrittenState, load: (path: string) => Promise<void>): Promise<void>;
}

/** As llama.cpp writes it, with a checksum. */
export const IN_THE_CLEAR: StateForm = {
  async write(path, { save }) {
    const stateBytes = await save(path);
    return { stateBytes, checksum: await fileChecksum(path, stateBytes) };
  },
  seal: sealStateFile,
  readSeal,
  async prove(path, { stateBytes, checksum }) {
    if ((await fileChecksum(path, stateBytes)) !== checksum)
      throw new Error('the state file has other bytes than were written');
  },
  read: (path, _state, load) => load(path),
};
