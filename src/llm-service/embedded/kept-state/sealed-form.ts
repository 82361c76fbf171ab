import { fstatSync, statfsSync } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ExtendedNonceCipher, TAG_BYTES } from '../../../domain/encryption/extended-nonce.ts';
import type { Random } from '../../../environment/environment.ts';
import { OneAtATime } from '../../../waiting/one-at-a-time.ts';
import { endOf, readAt, type SealedState, type StateSeal, sealAtEnd, withFile, writeAt } from './state-file.ts';
import type { StateForm, WrittenState } from './state-form.ts';
import { PIECE_BYTES, PREFIX_BYTES, piecesOf, plainBytes, StateStream, sealedBytes } from './state-stream.ts';

/** With what states are sealed, and where llama.cpp writes and reads them, which it does in the clear. */
export interface StateSealing {
  /** For kept state alone; see key-ring.ts. */
  readonly key: Uint8Array;
  /** On a memory disk, and there only while a state goes through it. Nobody else's. */
  readonly memoryFolder: string;
  /** A longer state is not kept: it would take that much memory. */
  readonly memoryBytesMax: number;
}

const MAGIC = Buffer.from('discedge kv sealed 1\n');
const LENGTH_BYTES = 4;
const FOOTER_BYTES = LENGTH_BYTES + MAGIC.length;
/** Of four million ids: more is no seal. */
const END_BYTES_MAX = 16 * 2 ** 20;

/** Where the parts of a sealed file are: the stream's prefix, the state in pieces, then what it is bound to as the last piece. */
interface Layout {
  readonly stream: StateStream;
  readonly stateBytes: number;
  /** Of the last piece. */
  readonly endAt: number;
  readonly endBytes: number;
}

/**
 * States as AES-256-GCM streams. Nothing of a state, its ids, or whose it is, reaches the disk in the clear: llama.cpp's own file lies
 * in memory, one at a time, and is gone when it has been sealed or read. What a kill leaves of it is whoever's who started
 * the process, and goes at the next start.
 */
export class SealedForm implements StateForm {
  readonly #sealing: StateSealing;
  readonly #cipher: ExtendedNonceCipher;
  readonly #bound: Uint8Array;
  readonly #random: Random;
  readonly #memory = new OneAtATime();

  private constructor(sealing: StateSealing, binding: string, random: Random) {
    this.#sealing = sealing;
    this.#cipher = new ExtendedNonceCipher(sealing.key);
    this.#bound = Buffer.from(binding);
    this.#random = random;
  }

  /** `binding`: what files are sealed with and opened for; see state-binding.ts. */
  static async open(sealing: StateSealing, binding: string, random: Random): Promise<SealedForm> {
    await rm(sealing.memoryFolder, { recursive: true, force: true });
    return new SealedForm(sealing, binding, random);
  }

  write(
    path: string,
    { expectedBytes, save }: { readonly expectedBytes: number; readonly save: (path: string) => Promise<number> },
  ): Promise<WrittenState> {
    return this.#inMemory(expectedBytes, async (plain) => {
      const stateBytes = await save(plain);
      await withFiles(plain, path, (from, to) => this.#sealPieces(from, to, stateBytes));
      // The tags prove more.
      return { stateBytes, checksum: 0 };
    });
  }

  seal(path: string, seal: StateSeal): number {
    const { stateBytes } = seal;
    const pieces = piecesOf(stateBytes);
    return withFile(path, 'r+', (file) => {
      const prefix = readAt(file, 0, PREFIX_BYTES);
      const endAt = PREFIX_BYTES + sealedBytes(stateBytes);
      if (prefix === undefined || fstatSync(file).size !== endAt) throw new Error('the state file was not sealed');
      const end = this.#streamOf(prefix).seal(pieces, true, endOf(seal));
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt32LE(end.length);
      return writeAt(file, endAt, Buffer.concat([end, length, MAGIC]));
    });
  }

  readSeal(path: string): SealedState | undefined {
    return withFile(path, 'r', (file) => {
      const layout = this.#layoutOf(file);
      if (layout === undefined) return undefined;
      const { stateBytes } = layout;
      const end = openEnd(file, layout);
      const seal =
        end &&
        sealAtEnd(stateBytes + end.length, (at, length) =>
          at >= stateBytes && length >= 0 ? end.subarray(at - stateBytes, at - stateBytes + length) : undefined,
        );
      return seal && { ...seal, fileBytes: fstatSync(file).size };
    });
  }

  /** What is sealed proves itself as it is opened. */
  async prove(): Promise<void> {}

  read(path: string, { stateBytes }: WrittenState, load: (path: string) => Promise<void>): Promise<void> {
    return this.#inMemory(stateBytes, async (plain) => {
      await withFiles(path, plain, (from, to) => this.#openPieces(from, to, stateBytes));
      await load(plain);
    });
  }

  /** What was opened is of one stream, from its first piece to its last. */
  async #openPieces(from: FileHandle, to: FileHandle, stateBytes: number): Promise<void> {
    const layout = this.#layoutOf(from.fd);
    if (layout?.stateBytes !== stateBytes) throw new Error('the state file is not what was sealed');
    const { stream, endAt } = layout;
    const sealed = Buffer.allocUnsafe(PIECE_BYTES + TAG_BYTES);
    let piece = 0;
    for (let at = PREFIX_BYTES; at < endAt; at += sealed.length) {
      const bytes = await readWhole(from, sealed.subarray(0, Math.min(sealed.length, endAt - at)), at);
      await to.appendFile(stream.open(piece++, false, bytes));
    }
    if (openEnd(from.fd, layout) === undefined) throw new Error('the state file is not what was sealed');
  }

  async #sealPieces(from: FileHandle, to: FileHandle, stateBytes: number): Promise<void> {
    const { size } = await from.stat();
    // Its writer does not look whether the last bytes found room.
    if (size !== stateBytes) throw new Error(`the state file has ${size} bytes of ${stateBytes}`);
    const prefix = this.#random.bytes(PREFIX_BYTES);
    const stream = this.#streamOf(prefix);
    await to.appendFile(prefix);
    const plain = Buffer.allocUnsafe(Math.min(PIECE_BYTES, stateBytes));
    for (let at = 0, piece = 0; at < stateBytes; at += PIECE_BYTES) {
      const bytes = await readWhole(from, plain.subarray(0, Math.min(PIECE_BYTES, stateBytes - at)), at);
      await to.appendFile(stream.seal(piece++, false, bytes));
    }
  }

  #streamOf(prefix: Uint8Array): StateStream {
    return new StateStream(this.#cipher, prefix, this.#bound);
  }

  #layoutOf(file: number): Layout | undefined {
    const { size } = fstatSync(file);
    const prefix = readAt(file, 0, PREFIX_BYTES);
    const footer = readAt(file, size - FOOTER_BYTES, FOOTER_BYTES);
    if (prefix === undefined || footer?.subarray(LENGTH_BYTES).equals(MAGIC) !== true) return undefined;
    const endBytes = footer.readUInt32LE(0);
    const endAt = size - FOOTER_BYTES - endBytes;
    if (endBytes > END_BYTES_MAX || endAt < PREFIX_BYTES) return undefined;
    return { stream: this.#streamOf(prefix), stateBytes: plainBytes(endAt - PREFIX_BYTES), endAt, endBytes };
  }

  /** Has `use` have a file in memory, for as long as it takes. */
  #inMemory<T>(bytes: number, use: (path: string) => Promise<T>): Promise<T> {
    const { memoryFolder, memoryBytesMax } = this.#sealing;
    return this.#memory.run(async () => {
      const { bavail, bsize } = statfsSync(dirname(memoryFolder));
      if (bytes > Math.min(memoryBytesMax, bavail * bsize))
        throw new Error(`there is no room for ${bytes} bytes in ${dirname(memoryFolder)}`);
      // Not one that is there: the memory disk may be everybody's.
      await mkdir(memoryFolder, { mode: 0o700 });
      try {
        return await use(join(memoryFolder, 'state'));
      } finally {
        await rm(memoryFolder, { recursive: true, force: true });
      }
    });
  }
}

function openEnd(file: number, { stream, stateBytes, endAt, endBytes }: Layout): Buffer | undefined {
  const sealed = readAt(file, endAt, endBytes);
  try {
    return sealed && stream.open(piecesOf(stateBytes), true, sealed);
  } catch {
    return undefined;
  }
}

async function withFiles(
  source: string,
  target: string,
  use: (from: FileHandle, to: FileHandle) => Promise<void>,
): Promise<void> {
  const from = await open(source, 'r');
  try {
    const to = await open(target, 'w', 0o600);
    try {
      await use(from, to);
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

async function readWhole(from: FileHandle, into: Buffer, at: number): Promise<Buffer> {
  const { bytesRead } = await from.read(into, 0, into.length, at);
  if (bytesRead < into.length) throw new Error('the state file has become shorter');
  return into;
}
