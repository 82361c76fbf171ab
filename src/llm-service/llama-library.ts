import type { Llama } from 'node-llama-cpp';
import { fromOptionalPackage } from '../domain/optional-package.ts';

export type LlamaLibrary = typeof import('node-llama-cpp');

/** An optional peer of this package, in the version that package.json names. */
export const LLAMA_PACKAGE = { name: 'node-llama-cpp', version: '3.22.1' } as const;

/**
 * The only way to node-llama-cpp, loaded when first asked for: it brings hundreds of megabytes of native code that a
 * node with a llama-server does not need. Throws `package_missing` where it is not installed.
 */
export function loadLlamaLibrary(): Promise<LlamaLibrary> {
  const wanted = {
    ...LLAMA_PACKAGE,
    need: 'without a llama-server (--llm http://HOST:PORT) a model runs on this machine, with',
  };
  return fromOptionalPackage(wanted, () => import('node-llama-cpp'));
}

export type LlamaLogListener = (level: string, message: string) => void;

const started = new Map<'auto' | false, Promise<Llama>>();
const listeners = new Set<LlamaLogListener>();

/**
 * The llama.cpp of this process. It is kept for good: node-llama-cpp loses the log of every instance but the first, which
 * then goes to stdout and stderr.
 */
export function startLlama({ getLlama, LlamaLogLevel }: LlamaLibrary, gpu: 'auto' | false): Promise<Llama> {
  const running = started.get(gpu);
  if (running !== undefined) return running;
  const starting = getLlama({
    gpu,
    // The binaries come with npm: neither compile nor fetch anything at a user's start.
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    // Each context says how many threads it takes.
    maxThreads: 0,
    logLevel: LlamaLogLevel.warn,
    logger: (level, message) => {
      for (const listener of listeners) listener(level, message);
    },
  });
  started.set(gpu, starting);
  starting.catch(() => started.delete(gpu));
  return starting;
}

/** Calls `listener` with llama.cpp's warnings and errors until the returned function is called. */
export function onLlamaLog(listener: LlamaLogListener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
