import type { ContextStore } from '../context-store/context-store.ts';
import { memoryStore } from '../context-store/memory.ts';
import type { Incarnation } from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import type { EdgeNodeConfig } from './config.ts';

export interface OpenedStore {
  readonly store: ContextStore;
  readonly incarnation: Incarnation;
}

/** The context store the configuration names. */
export async function openContextStore(config: EdgeNodeConfig, environment: Environment): Promise<OpenedStore> {
  switch (config.store) {
    case 'memory':
      return {
        store: memoryStore({ bytesMax: config.storeBytesMax }, environment),
        incarnation: Buffer.from(environment.random.bytes(4)).toString('hex') as Incarnation,
      };
    case 'lmdb': {
      const { openLmdbStore } = await import('../context-store/lmdb.ts');
      const store = await openLmdbStore(
        { folder: config.dataDir, nodeId: config.nodeId, bytesMax: config.storeBytesMax },
        environment,
      );
      return { store, incarnation: store.incarnation };
    }
    default:
      return config.store satisfies never;
  }
}
