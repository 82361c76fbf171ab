import { type FileHandle, open } from 'node:fs/promises';
import { DiscedgeError } from '../domain/errors.ts';

/** Magic, version, tensor count and metadata count: the least a GGUF begins with (GGUF specification). */
const HEADER_BYTES = 24;
const SUPPORTED_VERSIONS = [2, 3];

/**
 * Refuses what is visibly no GGUF model before llama.cpp sees it, because llama.cpp answers some of these with a crash
 * or with nothing but "failed". Throws `model_unusable` that says what is wrong with the file and what to do.
 */
export async function checkGgufFile(path: string): Promise<void> {
  const file = await open(path).catch((cause: unknown) => {
    throw unusable(path, OPEN_PROBLEMS[codeOf(cause)] ?? `cannot be read (${codeOf(cause)})`, cause);
  });
  try {
    const problem = await headerProblem(file);
    if (problem !== undefined) throw unusable(path, problem);
  } finally {
    await file.close();
  }
}

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
  if (bytesRead < HEADER_BYTES) return 'is truncated; download it again';
  const version = header.readUInt32LE(4);
  if (!SUPPORTED_VERSIONS.includes(version)) return `is GGUF version ${version}; convert it to version 3`;
  return undefined;
}

function unusable(path: string, problem: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('model_unusable', `model file ${path} ${problem}`, { cause });
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? 'unknown');
}
