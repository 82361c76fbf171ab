import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import { streamName } from '../../src/context-store/nats/names.ts';
import { type NatsStore, type NatsStoreOptions, openNatsStore } from '../../src/context-store/nats.ts';
import type { ClusterName } from '../../src/domain/identifiers.ts';
import type { Clock } from '../../src/environment/environment.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { startNatsServer } from '../../tools/real-servers/nats-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { watchedEnvironment } from '../../tools/supervised-nats.ts';
import { KEYGROUP } from '../../tools/turn-records.ts';
import { SharingStoreNode } from './sharing-store-node.ts';

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
export class StoreNode extends SharingStoreNode<NatsStore> {
  readonly environment: ReturnType<typeof watchedEnvironment>;
  readonly #folder: string;
  readonly #options: StoreNodeOptions;
  #server: RunningServer | undefined;
  #port: number | undefined;
  /** Timers set and neither run nor cancelled. */
  pendingTimers = 0;

  constructor(id: string, folder: string, options: StoreNodeOptions = {}) {
    super(id);
    this.#folder = folder;
    this.#options = options;
    // Chance is real: two nodes must not draw the same incarnation.
    const { random } = nodeEnvironment({ logLevel: 'silent', nodeId: id });
    const watched = watchedEnvironment();
    this.environment = { ...watched, random, clock: this.#counting(watched.clock, options.clockSpeed ?? 1) };
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
    const store = await openNatsStore(
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
    return this.opened(store);
  }

  async stop(): Promise<void> {
    await this.close();
    await this.#server?.stop();
    this.#server = undefined;
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
