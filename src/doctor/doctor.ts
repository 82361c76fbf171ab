import type { EdgeNodeConfig } from '../config/config.ts';
import type { Check } from './check.ts';
import { checkEdgeNode, checkEmbedded, checkLlamaServer, checkModel } from './llm-checks.ts';
import { checkNodeVersion, checkThreads } from './machine-checks.ts';
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
    ...(await checkLlm(config)),
    await checkDataDir(config),
    await checkDiskSpace(config),
    await checkPort(config),
    ...(await checkReplication(config, nowMs)),
    ...(await checkOptionalPrograms(config)),
    ...(await Promise.all(urls.map(checkEdgeNode))),
  ];
}

async function checkLlm(config: EdgeNodeConfig): Promise<Check[]> {
  switch (config.llm) {
    case undefined: {
      const embedded = await checkEmbedded(config);
      return embedded.outcome === 'ok' ? [embedded, await checkModel(config)] : [embedded];
    }
    case 'scripted':
      return [];
    default:
      return [await checkLlamaServer(config.llm, config.llmApiKey)];
  }
}
