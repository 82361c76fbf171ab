import { clusterKeyPlace, readClusterKey } from '../certificates/cluster-key.ts';
import type { EdgeNodeConfig } from '../config/config.ts';
import { SealedIds } from '../domain/encryption/sealed-ids.ts';
import type { Environment } from '../environment/environment.ts';

/** Ids under the key that the configuration leads to. Throws `config_invalid` for one that is missing or no key. */
export async function openSealedIds(config: EdgeNodeConfig, { random, logger }: Environment): Promise<SealedIds> {
  const place = await clusterKeyPlace(config);
  if (config.store.shares && place?.kind !== 'shared') {
    logger.warn('cluster_key_own', { advice: 'nodes that share contexts need one cluster-key-file' });
  }
  return new SealedIds(await readClusterKey(place, random));
}
