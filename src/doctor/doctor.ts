import type { EdgeNodeConfig } from '../config/config.ts';
import type { Check } from './check.ts';
import { checkEdgeNode, checkEmbedded, checkLlamaServer, checkModel } from './llm-checks.ts';
import { checkNodeVersion, checkThreads } from './machine-checks.ts';
import { checkMemory } from './memory-check.ts';
import { checkDataDir, checkDiskSpace, checkPort } from './node-checks.ts';
import { checkOptionalPrograms } from './program-checks.ts';
import { checkReplication } from './replication-checks.ts';

/**
 * Whether an edge node with this configuration could start here, and whether the running nodes of `urls` are well.
 * Leaves everything as it was.
 */
export async function examine(config: EdgeNodeConfig, urls: readonly string[], nowMs: number): Promise<Check[]> {
  return [
    checkNodeVersion(),
    checkThreads(config),
    ...(await checkLlmServices(config)),
    await checkDataDir(config),
    await checkDiskSpace(config),
    await checkPort(config),
    ...(await checkReplication(config, nowMs)),
    ...(await checkOptionalPrograms(config)),
    ...(await Promise.all(urls.map(checkEdgeNode))),
  ];
}

async function checkLlmServices(config: EdgeNodeConfig): Promise<Check[]> {
  const sources = config.models.map(({ source }) => source);
  const isEmbedded = sources.some(({ kind }) => kind === 'embedded');
  const embedded = isEmbedded ? [await checkEmbedded(config)] : [];
  const canLoad = embedded.every(({ outcome }) => outcome === 'ok');
  const checks = await Promise.all(
    sources.map(async (source): Promise<Check[]> => {
      switch (source.kind) {
        case 'embedded':
          return canLoad ? [await checkModel(source.model)] : [];
        case 'llama-server':
          return [await checkLlamaServer(source)];
        case 'scripted':
          return [];
        default:
          return source satisfies never;
      }
    }),
  );
  return [...embedded, ...checks.flat(), ...(isEmbedded && canLoad ? await checkMemory(config) : [])];
}
