import type { EdgeNodeConfig } from '../config/config.ts';
import { isEmbedded, isServer } from '../config/engine-kinds.ts';
import { checkHttps } from './certificate-checks.ts';
import type { Check, Fetch } from './check.ts';
import { checkClock, checkNodeClock } from './clock-checks.ts';
import { checkClusterKey } from './cluster-key-check.ts';
import { checkEncryption } from './encryption-check.ts';
import { checkEdgeNode, checkEmbedded, checkModel } from './llm-checks.ts';
import { checkNodeVersion, checkThreads } from './machine-checks.ts';
import { checkMemory } from './memory-check.ts';
import { checkDataDir, checkDiskSpace, checkPort } from './node-checks.ts';
import { checkOptionalPrograms } from './program-checks.ts';
import { checkReplication } from './replication-checks.ts';
import { checkChatTemplates } from './template-checks.ts';

/**
 * Whether an edge node with this configuration could start here, and whether the running nodes of `urls` are well.
 * Leaves everything as it was.
 */
export async function examine(
  config: EdgeNodeConfig,
  { urls, fetch }: { readonly urls: readonly string[]; readonly fetch: Fetch },
  nowMs: number,
): Promise<Check[]> {
  return [
    checkNodeVersion(),
    checkThreads(config),
    ...(await checkLlmServices(config)),
    ...(await checkChatTemplates(config, nowMs)),
    await checkDataDir(config),
    await checkDiskSpace(config),
    await checkEncryption(config),
    await checkClock(config, nowMs),
    await checkPort(config),
    ...(await checkHttps(config, nowMs)),
    ...(await checkReplication(config, nowMs)),
    await checkClusterKey(config),
    ...(await checkOptionalPrograms(config)),
    ...(await Promise.all(urls.map((url) => checkEdgeNode(url, fetch)))),
    ...(await Promise.all(urls.map((url) => checkNodeClock(url, fetch)))).flat(),
  ];
}

async function checkLlmServices(config: EdgeNodeConfig): Promise<Check[]> {
  const sources = config.models.map(({ source }) => source);
  const wantsEmbedded = sources.some(isEmbedded);
  const embedded = wantsEmbedded ? [await checkEmbedded(config)] : [];
  const canLoad = embedded.every(({ outcome }) => outcome === 'ok');
  const checks = await Promise.all(
    sources.map(async (source): Promise<Check[]> => {
      if (isEmbedded(source)) return canLoad ? [await checkModel(source.model)] : [];
      if (!isServer(source)) return [];
      const { checkServer } = await import('./server-check.ts');
      return [await checkServer(source, config)];
    }),
  );
  return [...embedded, ...checks.flat(), ...(wantsEmbedded && canLoad ? await checkMemory(config) : [])];
}
