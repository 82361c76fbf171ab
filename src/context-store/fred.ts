import { DiscedgeError } from '../domain/errors.ts';
import type { ClusterName, KeygroupId, NodeId } from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import type { ContextStore, SharedContexts } from './context-store.ts';
import { FredReplica } from './fred/fred-replica.ts';
import { FredClient } from './fred/wire/fred-client.ts';
import { type FredTlsFiles, readFredTls } from './fred/wire/fred-tls.ts';
import { type TriggeredItem, TriggerService } from './fred/wire/trigger-service.ts';
import type { ReplicaStore } from './leveldb/replica.ts';
import type { Described } from './replication/peers/described-node.ts';
import type { Signing } from './replication/signatures/signing.ts';
export interface FredStoreOptions {
  /** Closed with the store, and when it cannot be opened. */
  readonly replica: ReplicaStore;
  /** `host:port` of the client port of this node's own FReD node. */
  readonly fredHost: string;
  readonly tls: FredTlsFiles;
  /** `address:port` where FReD's triggers are listened for; port 0 for a free one. */
  readonly triggerListen: string;
  /** How FReD reaches that, where it differs: `host:port`. */
  readonly triggerHost?: string | undefined;
  readonly cluster: ClusterName;
  /** See `SharedReplicaOptions`. */
  readonly signing?: Signing | undefined;
  /** Records of these are shared. */
  readonly keygroups: readonly KeygroupId[];
  /** Nodes that are shut out, whatever others tell of them. */
  readonly excluded?: readonly NodeId[] | undefined;
  /** Above the longest time a record lives: how long FReD keeps it. */
  readonly itemMaxAgeMs: number;
  /** What other nodes are told of this one. */
  readonly describe?: () => Described;
  /** Between two looks for what was missed. */
  readonly scanEveryMs?: number;
}

export type FredStore = ContextStore & {
  readonly incarnation: ReplicaStore['incarnation'];
  readonly sharing: SharedContexts;
  /** Greets all nodes again: what this one says of itself has changed. */
  tellAgain(): void;
};

/**
 * The context store of one of several nodes, over the paper's own store: a LevelDB replica that hands what it is given to this
 * node's FReD node, an item a record, and takes in what FReD's triggers tell and scans find. Works alone for as long as FReD does
 * not. Throws `certificate_unusable`, and what `TriggerService.start` throws.
 */
export async function openFredStore(options: FredStoreOptions, environment: Environment): Promise<FredStore> {
  const { replica } = options;
  let triggers: TriggerService | undefined;
  try {
    if (options.excluded?.includes(replica.nodeId))
      throw new DiscedgeError('config_invalid', 'a node cannot shut itself out');
    const tls = await readFredTls(options.tls);
    const heard: { onItem: (item: TriggeredItem) => void } = { onItem() {} };
    triggers = await TriggerService.start({
      listen: options.triggerListen,
      tls,
      onItem: (item) => heard.onItem(item),
    });
    const { clock } = environment;
    const clientFor = (host: string) => new FredClient({ host, tls, clock });
    const store = new FredReplica({ ...options, triggers, clientFor }, environment);
    heard.onItem = (item) => store.hear(item);
    store.start();
    return store;
  } catch (error) {
    await triggers?.close();
    await replica.close();
    throw error;
  }
}
