import type { ClusterName, Incarnation, KeygroupId } from '../../domain/identifiers.ts';
import { RECORD_FORMAT_VERSION } from '../../domain/record/record-version.ts';
import type {
  ContextStore,
  RecordListener,
  RemovalListener,
  SessionPage,
  SessionQuery,
  SharedContexts,
  StoredSession,
  StoreStatus,
} from '../context-store.ts';
import type { ConversationIndex } from '../conversation-index.ts';
import type { ReplicaStore } from '../leveldb/replica.ts';
import type { NodeDescription } from '../replication-status.ts';
import type { NodeAnnouncement } from './peers/peer-protocol.ts';

/** What a node says of itself, beside what its store knows. */
export type Described = Partial<Omit<NodeDescription, 'incarnation' | 'keygroups'>>;

/** A node's store that shares: all that it promises, the replica on its disk promises. How it shares is the transport's. */
export abstract class SharedReplica implements ContextStore {
  abstract readonly sharing: SharedContexts;
  protected readonly replica: ReplicaStore;
  #closing: Promise<void> | undefined;

  constructor(replica: ReplicaStore) {
    this.replica = replica;
  }

  get incarnation(): Incarnation {
    return this.replica.incarnation;
  }

  get conversations(): ConversationIndex {
    return this.replica.conversations;
  }

  async append(...args: Parameters<ReplicaStore['append']>): Promise<void> {
    await this.replica.append(...args);
    this.wake();
  }

  read(...args: Parameters<ReplicaStore['read']>): Promise<StoredSession | undefined> {
    return this.replica.read(...args);
  }

  list(query: SessionQuery): Promise<SessionPage> {
    return this.replica.list(query);
  }

  expire(...args: Parameters<ReplicaStore['expire']>): Promise<number> {
    return this.replica.expire(...args);
  }

  status(): Promise<StoreStatus> {
    return this.replica.status();
  }

  onRecord(listener: RecordListener): () => void {
    return this.replica.onRecord(listener);
  }

  onRemoved(listener: RemovalListener): () => void {
    return this.replica.onRemoved(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.end();
    return this.#closing;
  }

  /** There is something to share. */
  protected abstract wake(): void;

  /** Ends sharing, then closes the replica. Called once. */
  protected abstract end(): Promise<void>;
}

/** What other nodes are told of this one, wherever they reach it. */
export function announcement(
  { nodeId, incarnation }: ReplicaStore,
  node: { readonly cluster: ClusterName; readonly instance: string; readonly keygroups: readonly KeygroupId[] },
  described: Described | undefined,
): NodeAnnouncement {
  const { cluster, instance, keygroups } = node;
  const { httpUrl, models = [], location, load } = described ?? {};
  const [model] = models;
  return {
    cluster,
    nodeId,
    incarnation,
    instance,
    recordVersion: RECORD_FORMAT_VERSION,
    keygroups: [...keygroups],
    ...(httpUrl !== undefined && { httpUrl }),
    ...(model !== undefined && { model }),
    ...(models.length > 1 && { models: [...models] }),
    ...(location !== undefined && location),
    ...(load !== undefined && { load }),
    handsOutSessions: true,
    arbitratesTurns: true,
    tellsOfAnswers: true,
  };
}
