import type { FlashAttention } from '../../domain/flash-attention.ts';
import { isHeaderWholeAt } from '../gguf-header.ts';
import { loadLlamaLibrary, startLlama } from '../llama-library.ts';
import { flashAttentionFor } from './flash-attention.ts';

/** What of a model's memory can be chosen. */
export interface Window {
  /** Ids of each KV sequence. */
  readonly contextTokens: number;
  /** KV sequences. */
  readonly parallel: number;
}

/** Of the process that a model lives in, with nothing loaded: Node, node-llama-cpp and llama.cpp (`npm run bench:engine-process`). */
const PROCESS_BYTES = 100 * 2 ** 20;

/** How much memory a model takes, as llama.cpp plans it, with its process; nothing is loaded for it. */
export interface MemoryPlan {
  /** Ids that the model was trained with. */
  readonly trainedTokens: number;
  /**
   * Bytes of main memory, without a GPU: the weights, which llama.cpp maps and has to keep resident to run at their speed, the KV
   * cache with its buffers, and the process.
   */
  neededBytes(window: Window): Promise<number>;
}

/** How ids are evaluated, as far as it takes memory. */
export interface Evaluating {
  /** Most ids evaluated at a time. */
  readonly batchTokens: number;
  readonly flashAttention: FlashAttention;
}

/** `undefined` where it cannot be told, as of a file that is not a model: then loading it tells what is wrong. */
export async function planMemory(modelPath: string, how: Evaluating): Promise<MemoryPlan | undefined> {
  const library = await loadLlamaLibrary();
  const { batchTokens } = how;
  const flashAttention = flashAttentionFor(how.flashAttention, false);
  try {
    if (!isHeaderWholeAt(modelPath)) return undefined;
    const file = await library.readGgufFileInfo(modelPath, { logWarnings: false });
    const insights = await library.GgufInsights.from(file, await startLlama(library, false));
    const { trainContextSize: trainedTokens } = insights;
    if (trainedTokens === undefined) return undefined;
    const { cpuRam: weightBytes } = await insights.estimateModelResourceRequirementsV2({ gpuLayers: 0 });
    const neededBytes = async ({ contextTokens: contextSize, parallel: sequences }: Window) => {
      const context = { contextSize, sequences, batchSize: batchTokens, flashAttention, modelGpuLayers: 0 };
      return PROCESS_BYTES + weightBytes + (await insights.estimateContextResourceRequirementsV2(context)).cpuRam;
    };
    // Fails here, if at all.
    await neededBytes({ contextTokens: Math.min(trainedTokens, batchTokens), parallel: 1 });
    return { trainedTokens, neededBytes };
  } catch {
    return undefined;
  }
}

/** Memory of GPUs that is free and not main memory too; 0 where llama.cpp finds none. */
export async function freeVideoMemoryBytes(): Promise<number> {
  const llama = await startLlama(await loadLlamaLibrary(), 'auto');
  if (llama.gpu === false) return 0;
  const { free, unifiedSize } = await llama.getVramState();
  return Math.max(0, free - unifiedSize);
}
