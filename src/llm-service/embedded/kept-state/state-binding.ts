import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';

/** What decides whether a KV state can be read again, beside the ids. */
export interface BoundTo {
  readonly modelPath: string;
  /** Build of llama.cpp and of its binding; machine; how the KV cache is laid out. */
  readonly engine: Readonly<Record<string, unknown>>;
}

/** Of each end of a model file: header and metadata, and the last weights. */
const DIGESTED_BYTES = 1024 * 1024;

/**
 * One digest over the model's file and the engine. Of the file it takes both ends, its size and when it was changed: all of
 * gigabytes would take seconds at every start.
 */
export async function stateBinding({ modelPath, engine }: BoundTo): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([engine, await bootId()]));
  const file = await open(modelPath, 'r');
  try {
    const { size, mtimeMs } = await file.stat();
    hash.update(JSON.stringify([size, mtimeMs]));
    for (const at of [0, Math.max(0, size - DIGESTED_BYTES)]) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(DIGESTED_BYTES), 0, DIGESTED_BYTES, at);
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

/**
 * State files are not synced, which would slow the context store's commits on the same disk: after a power cut they may have
 * their length and not their bytes. So they last as long as the machine runs. Only Linux tells.
 */
async function bootId(): Promise<string> {
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
}
