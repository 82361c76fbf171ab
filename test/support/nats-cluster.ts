import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { vi } from 'vitest';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { streamName } from '../../src/context-store/nats/names.ts';
import { type NatsStore, type NatsStoreOptions, openNatsStore } from '../../src/context-store/nats.ts';
import type { PeerStatus } from '../../src/context-store/replication-status.ts';
import type { ClusterName, NodeId, SessionKey } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { Clock } from '../../src/environment/environment.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startNatsServer } from '../../tools/real-servers/nats-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { watchedEnvironment } from '../../tools/supervised-nats.ts';
import { KEYGROUP, sealedTombstone, sealedTurn, sessionKey, type TurnOptions } from '../../tools/turn-records.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const DAY_MS = 24 * 3_600_000;

export interface StoreNodeOptions {
  /** Of its nats-server; one that stands alone by default. */
  readonly serverConfig?: () => string;
  /** How much faster than the real one the clock of the store's timers runs. */
  readonly clockSpeed?: number;
  /** Of its store: plenty by default. */
  readonly bytesMax?: number;
}

/** An edge node's store with a nats-server of its own; each can be stopped, killed, wiped and started on its own. */
export class StoreNode {
  readonly id: NodeId;
  readonly environment: ReturnType<typeof watchedEnvironment>;
  readonly #folder: string;
  readonly #options: StoreNodeOptions;
  #server: RunningServer | undefined;
  #store: NatsStore | undefined;
  #port: number | undefined;
  /** Hashes in the order in which they arrived from others. */
  readonly arrived: string[] = [];
  /** Timers set and neither run nor cancelled. */
  pendingTimers = 0;

  constructor(id: string, folder: string, options: StoreNodeOptions = {}) {
    this.id = id as NodeId;
    this.#folder = folder;
    this.#options = options;
    // Chance is real: two nodes must not draw the same incarnation.
    const { random } = nodeEnvironment({ logLevel: 'silent', nodeId: id });
    const watched = watchedEnvironment();
    this.environment = { ...watched, random, clock: this.#counting(watched.clock, options.clockSpeed ?? 1) };
  }

  get store(): NatsStore {
    if (this.#store === undefined) throw new Error(`${this.id} is closed`);
    return this.#store;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  get stream(): string {
    return streamName({ keygroup: KEYGROUP, nodeId: this.id, incarnation: this.store.incarnation });
  }

  get storeFolder(): string {
    return join(this.#folder, 'replica');
  }

  async startServer(): Promise<void> {
    this.#server = await startNatsServer({
      storeDir: join(this.#folder, 'jetstream'),
      ...(this.#options.serverConfig && { config: this.#options.serverConfig() }),
      ...(this.#port !== undefined && { port: this.#port }),
    });
    this.#port = this.#server.port;
  }

  async killServer(): Promise<void> {
    this.#server?.kill('SIGKILL');
    await this.#server?.stop();
    this.#server = undefined;
  }

  signalServer(signal: NodeJS.Signals): void {
    this.#server?.kill(signal);
  }

  get serverPid(): number | undefined {
    return this.#server?.pid;
  }

  async wipeJetStream(): Promise<void> {
    await rm(join(this.#folder, 'jetstream'), { recursive: true, force: true });
  }

  async wipeDisk(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  async wipeReplica(): Promise<void> {
    await rm(this.storeFolder, { recursive: true, force: true });
  }

  async open(peers: readonly StoreNode[], options: Partial<NatsStoreOptions> = {}): Promise<NatsStore> {
    this.#store = await openNatsStore(
      {
        replica: await openReplica(
          { folder: this.storeFolder, nodeId: this.id, bytesMax: this.#options.bytesMax ?? 1_000_000_000 },
          this.environment,
        ),
        serverUrl: this.url,
        advertisedUrl: this.url,
        cluster: 'test' as ClusterName,
        peers: peers.map(({ id, url }) => ({ nodeId: id, url })),
        keygroups: [KEYGROUP],
        streamMaxAgeMs: 40 * DAY_MS,
        ...options,
      },
      this.environment,
    );
    this.#store.onRecord((sealed, from) => {
      if (from === 'elsewhere') this.arrived.push(sealed.hash);
    });
    return this.#store;
  }

  async close(): Promise<void> {
    await this.#store?.close();
    this.#store = undefined;
  }

  async stop(): Promise<void> {
    await this.close();
    await this.#server?.stop();
    this.#server = undefined;
  }

  /** A turn written at this node, and durable. */
  async write(options: TurnOptions = {}): Promise<SealedRecord> {
    return this.append(sealedTurn(options));
  }

  async delete(key: SessionKey): Promise<SealedRecord> {
    return this.append(sealedTombstone({ key }));
  }

  /** `count` sessions of one turn each. */
  async writeMany(count: number, name = 's'): Promise<SealedRecord[]> {
    return Promise.all(Array.from({ length: count }, (_, i) => this.write({ key: sessionKey(`${name}${i}`) })));
  }

  async append({ record }: SealedRecord): Promise<SealedRecord> {
    const sealed = sealRecord({ ...record, origin: this.id, incarnation: this.store.incarnation });
    await this.store.append(sealed);
    return sealed;
  }

  async holds(records: readonly SealedRecord[]): Promise<boolean> {
    for (const { record, hash } of records) {
      const session = await this.store.read(record);
      if (session?.deleted !== true && !session?.records.some((held) => held.hash === hash)) return false;
    }
    return true;
  }

  /** Resolves when all these records are here. */
  async eventuallyHolds(records: readonly SealedRecord[]): Promise<void> {
    let missing = records;
    await eventually(async () => {
      const next: SealedRecord[] = [];
      for (const sealed of missing) if (!(await this.holds([sealed]))) next.push(sealed);
      missing = next;
      if (missing.length > 0) throw new Error(`${this.id} lacks ${missing.length} of ${records.length} records`);
    });
  }

  peer(other: StoreNode | string): PeerStatus {
    const id = typeof other === 'string' ? other : other.id;
    const status = this.store.sharing.status().peers.find(({ nodeId }) => nodeId === id);
    if (status === undefined) throw new Error(`${this.id} does not know ${id}`);
    return status;
  }

  async eventuallyConnected(...others: readonly StoreNode[]): Promise<void> {
    await eventually(() => {
      for (const other of others) {
        const { state, reason } = this.peer(other);
        if (state !== 'connected') throw new Error(`${this.id} finds ${other.id} ${state}: ${reason}`);
      }
    });
  }

  #counting(clock: Clock, speed: number): Clock {
    return {
      ...clock,
      after: (delayMs, callback) => {
        let isPending = true;
        const settle = () => {
          if (isPending) this.pendingTimers--;
          isPending = false;
        };
        this.pendingTimers++;
        const cancel = clock.after(delayMs / speed, () => {
          settle();
          callback();
        });
        return () => {
          settle();
          cancel();
        };
      },
    };
  }

  connect(options: ConnectionOptions = {}): Promise<NatsConnection> {
    return connect({ servers: this.url, ...options });
  }

  /** Everything this node's log has said, for a test's failure message. */
  log(): string {
    return this.environment.logLines
      .map(({ level, event, fields }) => `${level} ${event} ${JSON.stringify(fields)}`)
      .join('\n');
  }
}

/** Waits for a state that no event tells of, bounded. */
export async function eventually<T>(look: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(look, { timeout: WAIT_MS, interval: 10 });
}

export interface Cluster {
  /** A node with a running server and a closed store. */
  node(id: string, options?: StoreNodeOptions): Promise<StoreNode>;
  /** Nodes that all know each other. */
  open(...ids: string[]): Promise<StoreNode[]>;
  end(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'discedge-cluster-'));
  const nodes: StoreNode[] = [];
  const cluster: Cluster = {
    async node(id, options) {
      const node = new StoreNode(id, join(folder, `${id}-${nodes.length}`), options);
      nodes.push(node);
      await node.startServer();
      return node;
    },
    async open(...ids) {
      const opened = await Promise.all(ids.map((id) => cluster.node(id)));
      await Promise.all(opened.map((node) => node.open(opened.filter((other) => other !== node))));
      await Promise.all(opened.map((node) => node.eventuallyConnected(...opened.filter((other) => other !== node))));
      return opened;
    },
    async end() {
      await Promise.all(nodes.map((node) => node.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
  return cluster;
}
