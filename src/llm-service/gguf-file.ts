import { type FileHandle, open } from 'node:fs/promises';
import type { GgufFileInfo } from 'node-llama-cpp';
import { DiscedgeError } from '../domain/errors.ts';
import { isHeaderWhole } from './gguf-header.ts';

/** Magic, version, tensor count and metadata count: the least a GGUF begins with (GGUF specification). */
const HEADER_BYTES = 24;
const SUPPORTED_VERSIONS = [2, 3];

/** `tokenizer.ggml.model` of a model that takes no text. */
const NO_VOCABULARY = [undefined, 'none', 'no_vocab'];

/**
 * Refuses what cannot be a text model before llama.cpp sees it, because llama.cpp ends the process over some of these
 * files and says nothing but "failed" over others. Throws `model_unusable` that says what is wrong and what to do.
 */
export async function checkGgufFile(
  path: string,
  read: (path: string) => Promise<GgufFileInfo>,
  { weights = true }: { /** False: a vocabulary without them will do. */ readonly weights?: boolean } = {},
): Promise<void> {
  const file = await open(path).catch((cause: unknown) => {
    throw unusable(path, OPEN_PROBLEMS[codeOf(cause)] ?? `cannot be read (${codeOf(cause)})`, cause);
  });
  try {
    const header = await headerProblem(file);
    if (header !== undefined) throw unusable(path, header);
    const info = await read(path).catch((cause: unknown) => {
      throw unusable(path, TRUNCATED, cause);
    });
    const { size } = await file.stat();
    const problem = (weights ? weightsProblem(info, size) : undefined) ?? vocabularyProblem(info, size);
    if (problem !== undefined) throw unusable(path, problem);
  } finally {
    await file.close();
  }
}

const TRUNCATED = 'is truncated or damaged; download it again';

const OPEN_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist; give the path of a GGUF file, hf:ORG/REPO:FILE, or demo',
  EACCES: 'may not be read by this user; change its permissions',
};

async function headerProblem(file: FileHandle): Promise<string | undefined> {
  const stat = await file.stat();
  if (stat.isDirectory()) return 'is a folder; give the GGUF file in it';
  if (!stat.isFile()) return 'is not a regular file';
  if (stat.size === 0) return 'is empty; download it again';
  const { buffer: header, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
  if (header.toString('latin1', 0, 4) !== 'GGUF') {
    return header.toString('latin1').startsWith('version https://git-lfs')
      ? 'is only a Git LFS pointer; fetch the file itself with git lfs pull'
      : 'is not a GGUF file; llama.cpp runs GGUF models only';
  }
  if (bytesRead < HEADER_BYTES) return TRUNCATED;
  const version = header.readUInt32LE(4);
  if (!SUPPORTED_VERSIONS.includes(version)) return `is GGUF version ${version}; convert it to version 3`;
  return isHeaderWhole(file.fd, stat.size) ? undefined : TRUNCATED;
}

function weightsProblem(info: GgufFileInfo, fileBytes: number): string | undefined {
  const ends = [info.infoEndOffset ?? 0, ...(info.tensorInfo ?? []).map((tensor) => tensor.fileOffset)];
  if (ends.some((end) => end > fileBytes)) return TRUNCATED;
  return info.totalTensorCount === 0 ? 'has no weights; choose a model, not a vocabulary' : undefined;
}

function vocabularyProblem(info: GgufFileInfo, fileBytes: number): string | undefined {
  // Behind the end of a file the library reads zeros.
  if (info.metadataSize > fileBytes) return TRUNCATED;
  const vocabulary = info.metadata.tokenizer?.ggml;
  if (NO_VOCABULARY.includes(vocabulary?.model) || !vocabulary?.tokens?.length) {
    return 'has no vocabulary; choose a text generation model';
  }
  return undefined;
}

function unusable(path: string, problem: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('model_unusable', `model file ${path} ${problem}`, { cause });
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? 'unknown');
}
