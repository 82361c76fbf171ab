import type { ContextStore } from '../../context-store/context-store.ts';
import type { ReplicaStore } from '../../context-store/leveldb/replica.ts';
import type { Described } from '../../context-store/replication/peers/described-node.ts';
import type { NodeDescription } from '../../context-store/replication-status.ts';
import { DOCUMENTS_KEYGROUP } from '../../domain/cluster/documents.ts';
import type { Incarnation, KeygroupId } from '../../domain/identifiers.ts';

/** This node's replica. What is not known before the LLM Services run comes with `serve`. */
export interface OpenedStore {
  readonly incarnation: Incarnation;
  /** The store of these models' keygroups; from here on it is shared with other nodes, where it is a store that is. At most once. */
  serve(node: ServedNode): Promise<ContextStore>;
  /** Tells other nodes at once what has become known of this one since they were greeted. */
  tellAgain?(): void;
  /** Idempotent. */
  close(): Promise<void>;
}

export interface ServedNode {
  /** The default one first. */
  readonly models: readonly { readonly name: string; readonly keygroup: KeygroupId }[];
  /** Of the HTTP API, as other nodes and clients reach it; `undefined` until it is known. */
  readonly httpUrl: () => string | undefined;
  /** Turns being answered. */
  readonly load: () => number;
}

/** A replica of this node's, which `share` makes a store of that shares it, and that closes it. */
export function replicaToShare(
  replica: ReplicaStore,
  share: (node: ServedNode) => Promise<ContextStore & { tellAgain(): void }>,
): OpenedStore {
  let store: Awaited<ReturnType<typeof share>> | undefined;
  return {
    incarnation: replica.incarnation,
    async serve(node) {
      store = await share(node);
      return store;
    },
    tellAgain: () => store?.tellAgain(),
    close: () => (store ?? replica).close(),
  };
}

/** What of a node its peers have a part in: the keygroups of its models and of what the cluster has to know, and how it is. */
export function sharedOf(
  { models, httpUrl, load }: ServedNode,
  location: NodeDescription['location'],
): { readonly keygroups: readonly KeygroupId[]; readonly describe: () => Described } {
  return {
    keygroups: [...models.map(({ keygroup }) => keygroup), DOCUMENTS_KEYGROUP],
    describe: () => ({ httpUrl: httpUrl(), models: models.map(({ name }) => name), location, load: load() }),
  };
}
