import { loadLlamaLibrary, startLlama } from '../llama-library.ts';
import type { EngineOptions } from './engine.ts';

/**
 * Bytes of main memory that a model takes once it is loaded: the weights, which llama.cpp maps and has to keep resident to
 * run at their speed, and the KV cache with its buffers, as llama.cpp plans them; no GPU. Nothing is loaded for it.
 * `undefined` where it cannot be told, as of a file that is not a model: then loading it tells what is wrong.
 */
export async function memoryNeed({
  modelPath,
  contextTokens = Number.POSITIVE_INFINITY,
  parallel: sequences,
  batchTokens: batchSize,
}: Pick<EngineOptions, 'modelPath' | 'contextTokens' | 'parallel' | 'batchTokens'>): Promise<number | undefined> {
  const library = await loadLlamaLibrary();
  try {
    const file = await library.readGgufFileInfo(modelPath, { logWarnings: false });
    const insights = await library.GgufInsights.from(file, await startLlama(library, false));
    const contextSize = Math.min(contextTokens, insights.trainContextSize ?? contextTokens);
    if (!Number.isFinite(contextSize)) return undefined;
    const weights = await insights.estimateModelResourceRequirementsV2({ gpuLayers: 0 });
    const context = await insights.estimateContextResourceRequirementsV2({
      ...{ contextSize, sequences, batchSize },
      modelGpuLayers: 0,
    });
    return weights.cpuRam + context.cpuRam;
  } catch {
    return undefined;
  }
}
