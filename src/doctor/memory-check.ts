import type { EdgeNodeConfig } from '../config/config.ts';
import { isEmbedded } from '../config/engine-kinds.ts';
import { availableMemoryBytes } from '../edge-node/models/available-memory.ts';
import { DEMO_MODEL_PATH } from '../edge-node/models/demo-model.ts';
import { chooseWindow } from '../llm-service/embedded/choose-window.ts';
import { planMemory } from '../llm-service/embedded/memory-need.ts';
import type { Check } from './check.ts';

/** Whether the embedded models fit in memory beside each other; says nothing where that cannot be told beforehand. */
export async function checkMemory({ models, gpu, ...config }: EdgeNodeConfig): Promise<Check[]> {
  if (gpu) return [];
  const how = { batchTokens: config.prefillChunkTokens, flashAttention: config.flashAttention };
  const availableBytes = availableMemoryBytes();
  const needs = await Promise.all(
    models.map(async ({ source, contextTokens, parallel }) => {
      if (!isEmbedded(source) || source.model.startsWith('hf:')) return undefined;
      const plan = await planMemory(source.model === 'demo' ? DEMO_MODEL_PATH : source.model, how);
      return (
        plan && chooseWindow({ contextTokens, parallel }, { plan, availableBytes: availableBytes / models.length })
      );
    }),
  );
  const known = needs.filter((need) => need !== undefined);
  if (known.length === 0) return [];
  const neededBytes = known.reduce((sum, need) => sum + need.neededBytes, 0);
  const name = 'memory';
  const found = `${known.length === 1 ? 'the model needs' : `${known.length} models need`} ${gib(neededBytes)}, ${gib(availableBytes)} available`;
  if (neededBytes <= availableBytes) return [{ name, outcome: 'ok', found }];
  const fix = 'use smaller models, or lower --context-tokens or --parallel';
  return [{ name, outcome: 'warn', found, fix }];
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
