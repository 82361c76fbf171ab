import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { endianness } from 'node:os';
import type { TokenId, TokenSequence } from '../../../domain/token-sequence.ts';

/** What a state file is bound to: it is restored for this and nothing else. */
export interface StateSeal {
  /** Digest of model and engine; see state-binding.ts. */
  readonly binding: string;
  /** Whose state it is. */
  readonly affinity: string;
  readonly returns: number;
  readonly ids: TokenSequence;
  /** What llama.cpp wrote, */
  readonly stateBytes: number;
  /** and its checksum; see state-form.ts. */
  readonly checksum: number;
}

/** As a sealed file has it, whatever it is bound to. */
export interface SealedState extends StateSeal {
  readonly fileBytes: number;
}

interface SealFields extends Omit<StateSeal, 'ids'> {
  readonly tokens: number;
  readonly digest: string;
}

const MAGIC = Buffer.from('discedge kv 2\n');
const LENGTH_BYTES = 4;
/** Two names of 128 bytes each, digests, numbers: more is no seal. */
const FIELDS_BYTES_MAX = 4096;

/**
 * Seals what llama.cpp wrote, by what follows its last byte, which llama.cpp does not read: the ids, what the state is bound
 * to, a digest over both. Returns the file's bytes. Throws when the file is shorter than llama.cpp said. At once, as
 * {@link readSeal}: some kB, and a turn waits for it.
 */
export function sealStateFile(path: string, seal: StateSeal): number {
  const { stateBytes } = seal;
  return withFile(path, 'r+', (file) => {
    const { size } = fstatSync(file);
    // Its writer does not look whether the last bytes found room.
    if (size !== stateBytes) throw new Error(`the state file has ${size} bytes of ${stateBytes}`);
    return writeAt(file, stateBytes, endOf(seal));
  });
}

/** `undefined` for a file that is not whole, or not one of these. Throws what the file system does. */
export function readSeal(path: string): SealedState | undefined {
  return withFile(path, 'r', (file) => {
    const { size: fileBytes } = fstatSync(file);
    const seal = sealAtEnd(fileBytes, (at, length) => readAt(file, at, length));
    return seal && { ...seal, fileBytes };
  });
}

/** What follows a state: what {@link sealAtEnd} reads. */
export function endOf(seal: StateSeal): Buffer {
  const { ids, ...bound } = seal;
  const fields: SealFields = { ...bound, tokens: ids.length, digest: digestOf(seal) };
  const text = Buffer.from(JSON.stringify(fields));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(text.length);
  return Buffer.concat([bytesOf(ids), text, length, MAGIC]);
}

/** The seal that a state of `size` bytes with its end has. `read` gives `undefined` for what is not there. */
export function sealAtEnd(
  size: number,
  read: (at: number, length: number) => Buffer | undefined,
): StateSeal | undefined {
  const end = read(size - LENGTH_BYTES - MAGIC.length, LENGTH_BYTES + MAGIC.length);
  if (end === undefined || !end.subarray(LENGTH_BYTES).equals(MAGIC)) return undefined;
  const fieldsBytes = end.readUInt32LE(0);
  if (fieldsBytes > FIELDS_BYTES_MAX) return undefined;
  const fieldsAt = size - end.length - fieldsBytes;
  const text = read(fieldsAt, fieldsBytes);
  const fields = text && parsed(text);
  if (fields === undefined || fields.stateBytes + fields.tokens * BYTES_A_TOKEN !== fieldsAt) return undefined;
  const idBytes = read(fields.stateBytes, fields.tokens * BYTES_A_TOKEN);
  if (idBytes === undefined) return undefined;
  const { binding, affinity, returns, stateBytes, checksum } = fields;
  const seal = { binding, affinity, returns, stateBytes, checksum, ids: idsOf(idBytes) };
  return fields.digest === digestOf(seal) ? seal : undefined;
}

export function withFile<T>(path: string, flags: 'r' | 'r+', use: (file: number) => T): T {
  const file = openSync(path, flags);
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}

/** `undefined` where the file has not so many bytes there. */
export function readAt(file: number, at: number, length: number): Buffer | undefined {
  if (at < 0 || length < 0) return undefined;
  const buffer = Buffer.alloc(length);
  return readSync(file, buffer, 0, length, at) === length ? buffer : undefined;
}

/** Returns where the bytes end in the file. */
export function writeAt(file: number, at: number, bytes: Uint8Array): number {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(file, bytes, written, bytes.length - written, at + written);
  }
  return at + bytes.length;
}

function parsed(text: Buffer): SealFields | undefined {
  let fields: Partial<Record<keyof SealFields, unknown>>;
  try {
    fields = JSON.parse(text.toString());
  } catch {
    return undefined;
  }
  const { binding, affinity, returns, tokens, stateBytes, checksum, digest } = fields;
  const isSeal =
    [binding, affinity, digest].every((field) => typeof field === 'string') &&
    [returns, tokens, stateBytes, checksum].every((field) => Number.isSafeInteger(field) && (field as number) >= 0);
  return isSeal ? (fields as SealFields) : undefined;
}

function digestOf({ binding, affinity, ids, stateBytes, checksum }: StateSeal): string {
  return createHash('sha256')
    .update(JSON.stringify([binding, affinity, stateBytes, checksum]))
    .update(bytesOf(ids))
    .digest('hex');
}

const BYTES_A_TOKEN = 4;

function bytesOf(ids: TokenSequence): Buffer {
  return inLittleEndian(Buffer.from(Int32Array.from(ids).buffer));
}

function idsOf(bytes: Buffer): TokenId[] {
  const copy = Uint8Array.from(inLittleEndian(bytes));
  return Array.from(new Int32Array(copy.buffer)) as TokenId[];
}

const inLittleEndian = (bytes: Buffer) => (endianness() === 'LE' ? bytes : bytes.swap32());
