import { clusterKeyPlace, contentOf, readClusterKey } from '../certificates/cluster-key.ts';
import type { EdgeNodeConfig } from '../config/config.ts';
import type { DiscedgeError } from '../domain/errors.ts';
import type { Check } from './check.ts';

/** Whether ids of responses that one node makes are known at the others. */
export async function checkClusterKey(config: EdgeNodeConfig): Promise<Check> {
  const name = 'cluster key';
  const fix = 'give all nodes of the cluster the same --cluster-key-file, or make their certificates again';
  try {
    const place = await clusterKeyPlace(config);
    if (place === undefined) return { name, outcome: 'ok', found: 'a new one at every start: nothing is kept' };
    const isThere = (await contentOf(place.path)) !== undefined;
    // One of its own that is not there yet is made by the node.
    if (isThere || place.kind === 'shared') await readClusterKey(place, NO_RANDOM);
    if (place.kind === 'shared') return { name, outcome: 'ok', found: place.path };
    const found = `this node's own, ${place.path}${isThere ? '' : ', to be made'}`;
    if (!config.store.shares) return { name, outcome: 'ok', found };
    return { name, outcome: 'warn', found: `${found}: its response ids are unknown at other nodes`, fix };
  } catch (error) {
    return { name, outcome: 'missing', found: (error as DiscedgeError).message, fix };
  }
}

const NO_RANDOM = {
  bytes(): never {
    throw new TypeError('doctor makes no key');
  },
};
