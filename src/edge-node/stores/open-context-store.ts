import type { EdgeNodeConfig } from '../../config/config.ts';
import { STORE_KINDS, type StoreName, type StoreTraits } from '../../config/store-kinds.ts';
import type { ContextStore } from '../../context-store/context-store.ts';
import { memoryStore } from '../../context-store/memory.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Incarnation } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import { exposeResealing } from '../metrics/encryption-metrics.ts';
import type { OpenedStore } from './opened-store.ts';

/** A kind of context store that a node can be given. */
export interface OpenableStore extends StoreTraits {
  /** Opens this node's replica; throws a start code, and then leaves nothing open. */
  open(config: EdgeNodeConfig, environment: Environment): Promise<OpenedStore>;
}

export type OpenableStores = Readonly<Record<string, OpenableStore>>;

/** Every kind of context store, with what opens it. */
export const STORES: Readonly<Record<StoreName, OpenableStore>> = {
  leveldb: { ...STORE_KINDS.leveldb, open: openLevelDb },
  memory: { ...STORE_KINDS.memory, open: openMemory },
  nats: { ...STORE_KINDS.nats, open: openNats },
  fred: { ...STORE_KINDS.fred, open: openFred },
};

/** The context store that the configuration names. */
export function openContextStore(
  config: EdgeNodeConfig,
  environment: Environment,
  stores: OpenableStores = STORES,
): Promise<OpenedStore> {
  const { name } = config.store;
  const store = stores[name];
  if (store === undefined) throw new TypeError(`no store ${name} is registered`);
  return store.open(config, environment);
}

async function openMemory(config: EdgeNodeConfig, environment: Environment): Promise<OpenedStore> {
  const { storeBytesMax: bytesMax, storeWhenFull: whenFull } = config;
  const incarnation = Buffer.from(environment.random.bytes(4)).toString('hex') as Incarnation;
  return served(memoryStore({ bytesMax, whenFull }, environment), incarnation);
}

async function openLevelDb(config: EdgeNodeConfig, environment: Environment): Promise<OpenedStore> {
  const { openLevelStore } = await import('../../context-store/leveldb.ts');
  const { dataDir: folder, nodeId, storeBytesMax: bytesMax, storeWhenFull: whenFull } = config;
  const encryption = await config.encryption?.keys();
  const store = await openLevelStore({ folder, nodeId, bytesMax, whenFull, encryption }, environment);
  exposeResealing(store, environment.metrics);
  return served(store, store.incarnation);
}

async function openNats(config: EdgeNodeConfig, environment: Environment): Promise<OpenedStore> {
  const { openReplicatedStore } = await import('./open-replicated-store.ts');
  const { replication } = config;
  if (replication === undefined || 'fred' in replication)
    throw new DiscedgeError('config_invalid', 'the nats store needs replication over NATS');
  return openReplicatedStore({ ...config, replication }, environment);
}

async function openFred(config: EdgeNodeConfig, environment: Environment): Promise<OpenedStore> {
  const { openFredReplica } = await import('./open-fred-store.ts');
  const { replication } = config;
  if (replication === undefined || !('fred' in replication))
    throw new DiscedgeError('config_invalid', 'the fred store needs replication over FReD');
  return openFredReplica({ ...config, replication }, environment);
}

/** A store that needs to know nothing of what is served. */
export function served(store: ContextStore, incarnation: Incarnation): OpenedStore {
  return { incarnation, serve: async () => store, close: () => store.close() };
}
