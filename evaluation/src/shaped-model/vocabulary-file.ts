import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { type MetadataEntry, MetadataIncomplete, readMetadata } from './gguf-metadata.ts';

/** The metadata of the largest vocabularies is about 20 MB; more than this is no vocabulary. */
const METADATA_BYTES_MAX = 256 << 20;
/** Parsed again at each doubling, so at most once in vain per doubling. */
const FIRST_PARSE_BYTES = 8 << 20;
const GZIP_MAGIC = 0x1f8b;

/**
 * All metadata of a GGUF file, packed with gzip or not, with weights or without: no more than its beginning is read.
 * Throws `model_unusable`.
 */
export async function readVocabularyFile(path: string): Promise<readonly MetadataEntry[]> {
  try {
    return await parseBeginning(path);
  } catch (error) {
    throw new DiscedgeError('model_unusable', `vocabulary file ${path} ${problemOf(error)}`, { cause: error });
  }
}

async function parseBeginning(path: string): Promise<readonly MetadataEntry[]> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let parseAtBytes = FIRST_PARSE_BYTES;
  for await (const chunk of await openContent(path)) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes < parseAtBytes) continue;
    const entries = parsedSoFar(chunks);
    if (entries !== undefined) return entries;
    if (bytes > METADATA_BYTES_MAX) throw new Error('has more metadata than any vocabulary');
    parseAtBytes = bytes * 2;
  }
  return readMetadata(Buffer.concat(chunks));
}

/** The file's content, unpacked. Whoever stops reading it closes the file. */
async function openContent(path: string): Promise<AsyncIterable<Buffer>> {
  const packed = await isGzip(path);
  const file = createReadStream(path);
  // An error of the file reaches the reader through what it is piped into, so there is nothing left to tell.
  return packed ? pipeline(file, createGunzip(), () => {}) : file;
}

function parsedSoFar(chunks: readonly Buffer[]): readonly MetadataEntry[] | undefined {
  try {
    return readMetadata(Buffer.concat(chunks));
  } catch (error) {
    if (error instanceof MetadataIncomplete) return undefined;
    throw error;
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer.readUInt16BE(0) === GZIP_MAGIC;
  } finally {
    await file.close();
  }
}

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist; give the path of a GGUF file',
  EACCES: 'may not be read by this user; change its permissions',
  EISDIR: 'is a folder; give the GGUF file in it',
  Z_DATA_ERROR: 'is damaged: its gzip data ends wrong',
  Z_BUF_ERROR: 'is truncated: its gzip data has no end',
};

function problemOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  if (error instanceof MetadataIncomplete) return 'is truncated or damaged; fetch it again';
  if (code === undefined) return message;
  return PROBLEMS[code] ?? `cannot be read (${code})`;
}
