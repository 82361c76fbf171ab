import type { EdgeNodeConfig } from '../config/config.ts';
import type { ContextStore } from '../context-store/context-store.ts';
import { memoryStore } from '../context-store/memory.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { Incarnation } from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import type { OpenedStore } from './opened-store.ts';

/** The context store the configuration names. */
export async function openContextStore(config: EdgeNodeConfig, environment: Environment): Promise<OpenedStore> {
  switch (config.store) {
    case 'memory': {
      const incarnation = Buffer.from(environment.random.bytes(4)).toString('hex') as Incarnation;
      return served(memoryStore({ bytesMax: config.storeBytesMax }, environment), incarnation);
    }
    case 'lmdb': {
      const { openLmdbStore } = await import('../context-store/lmdb.ts');
      const { dataDir: folder, nodeId, storeBytesMax: bytesMax } = config;
      const store = await openLmdbStore({ folder, nodeId, bytesMax }, environment);
      return served(store, store.incarnation);
    }
    case 'nats': {
      const { openReplicatedStore } = await import('./open-replicated-store.ts');
      if (config.replication === undefined)
        throw new DiscedgeError('config_invalid', 'the nats store needs replication');
      return openReplicatedStore({ ...config, replication: config.replication }, environment);
    }
    default:
      return config.store satisfies never;
  }
}

function served(store: ContextStore, incarnation: Incarnation): OpenedStore {
  return { incarnation, serve: async () => store, close: () => store.close() };
}
