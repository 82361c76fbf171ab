import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { vi } from 'vitest';
import type { FredTlsFiles } from '../../src/context-store/fred/wire/fred-tls.ts';
import { type FredStore, type FredStoreOptions, openFredStore } from '../../src/context-store/fred.ts';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { PeerStatus } from '../../src/context-store/replication-status.ts';
import type { ClusterName, NodeId, SessionKey } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { FredDoubles } from '../../tools/fred-double/fred-doubles.ts';
import { watchedEnvironment } from '../../tools/supervised-nats.ts';
import { KEYGROUP, sealedTombstone, sealedTurn, sessionKey, type TurnOptions } from '../../tools/turn-records.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
/** Scans that make up for lost triggers come soon. */
const SCAN_EVERY_MS = 500;

/** FReD nodes for a test: doubles of this process, or real ones that somebody has started. */
export interface FredNodes {
  /** Of their client ports, as the edge node beside each dials it. */
  readonly hosts: readonly string[];
  readonly tls: FredTlsFiles;
  /** The folder of those: what `--fred-certs-dir` is given. */
  readonly certificates: string;
  /** `undefined` where they are real. */
  readonly doubles: FredDoubles | undefined;
  close(): Promise<void>;
}

/** Three nodes: those of `DISCEDGE_FRED` (`HOST:PORT,…`) with the certificates in `DISCEDGE_FRED_CERTS`, or else doubles. */
export async function startFredNodes(): Promise<FredNodes> {
  const { DISCEDGE_FRED: hosts, DISCEDGE_FRED_CERTS: folder } = process.env;
  if (hosts !== undefined && folder !== undefined)
    return { hosts: hosts.split(','), ...(await certificatesIn(folder)), doubles: undefined, close: async () => {} };
  return startFredDoubles();
}

/** For what cannot be done to real nodes from here. */
export async function startFredDoubles(): Promise<FredNodes & { readonly doubles: FredDoubles }> {
  const doubles = await FredDoubles.start(['nodeA', 'nodeB', 'nodeC']);
  return {
    hosts: doubles.nodes.map(({ host }) => host),
    ...(await certificatesIn(doubles.certificates)),
    doubles,
    close: () => doubles.close(),
  };
}

/** One edge node's of those in a folder that `discedge certs fred` made; all are of one name. */
async function certificatesIn(folder: string): Promise<Pick<FredNodes, 'tls' | 'certificates'>> {
  const certFile = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('node.crt')).sort()[0];
  if (certFile === undefined) throw new Error(`no node.crt in ${folder}`);
  const certificates = join(folder, dirname(certFile));
  const inFolder = (name: string) => join(certificates, name);
  const tls = { certFile: inFolder('node.crt'), keyFile: inFolder('node.key'), caFile: inFolder('ca.crt') };
  return { tls, certificates };
}

/** An edge node's store with a FReD node of its own. */
export class FredStoreNode {
  readonly id: NodeId;
  readonly environment: ReturnType<typeof watchedEnvironment>;
  readonly host: string;
  readonly folder: string;
  readonly #tls: FredTlsFiles;
  readonly #cluster: ClusterName;
  #store: FredStore | undefined;
  /** Hashes in the order in which they arrived from others. */
  readonly arrived: string[] = [];

  constructor(
    id: string,
    place: { folder: string; host: string; tls: FredTlsFiles; cluster: string; clockSpeed?: number },
  ) {
    this.id = id as NodeId;
    this.folder = place.folder;
    this.host = place.host;
    this.#tls = place.tls;
    this.#cluster = place.cluster as ClusterName;
    // Chance is real: two nodes must not draw the same incarnation.
    const { random } = nodeEnvironment({ logLevel: 'silent', nodeId: id });
    this.environment = { ...watchedEnvironment(place.clockSpeed ?? 1), random };
  }

  get store(): FredStore {
    if (this.#store === undefined) throw new Error(`${this.id} is closed`);
    return this.#store;
  }

  async open(options: Partial<FredStoreOptions> = {}): Promise<FredStore> {
    this.#store = await openFredStore(
      {
        replica: await openReplica({ folder: this.folder, nodeId: this.id, bytesMax: 1_000_000_000 }, this.environment),
        fredHost: this.host,
        tls: this.#tls,
        triggerListen: '127.0.0.1:0',
        cluster: this.#cluster,
        keygroups: [KEYGROUP],
        itemMaxAgeMs: 40 * DAY_MS,
        scanEveryMs: SCAN_EVERY_MS,
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

  async wipeReplica(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
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

  peer(other: FredStoreNode | string): PeerStatus {
    const id = typeof other === 'string' ? other : other.id;
    const status = this.store.sharing.status().peers.find(({ nodeId }) => nodeId === id);
    if (status === undefined) throw new Error(`${this.id} does not know ${id}: ${this.log()}`);
    return status;
  }

  async eventuallyConnected(...others: readonly FredStoreNode[]): Promise<void> {
    await eventually(() => {
      for (const other of others) {
        const { state, reason } = this.peer(other);
        if (state !== 'connected') throw new Error(`${this.id} finds ${other.id} ${state}: ${reason}`);
      }
    });
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

export interface FredCluster {
  readonly nodes: FredNodes;
  readonly name: string;
  /** A node with a closed store at the FReD node of that place. */
  node(id: string, place: number): FredStoreNode;
  /** Nodes that all know each other. */
  open(...ids: string[]): Promise<FredStoreNode[]>;
  end(): Promise<void>;
}

let clusters = 0;

/** On FReD nodes that are there; each cluster has a name of its own, so that they do not meet. */
export async function startFredCluster(nodes: FredNodes): Promise<FredCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'discedge-fred-'));
  const cluster = `t${process.pid}n${Date.now()}n${++clusters}`;
  const made: FredStoreNode[] = [];
  const result: FredCluster = {
    nodes,
    name: cluster,
    node(id, place) {
      const host = nodes.hosts[place] as string;
      const node = new FredStoreNode(id, {
        folder: join(folder, `${id}-${made.length}`),
        host,
        tls: nodes.tls,
        cluster,
      });
      made.push(node);
      return node;
    },
    async open(...ids) {
      const opened = ids.map((id, place) => result.node(id, place));
      for (const node of opened) await node.open();
      await Promise.all(opened.map((node) => node.eventuallyConnected(...opened.filter((other) => other !== node))));
      return opened;
    },
    async end() {
      await Promise.all(made.map((node) => node.close()));
      await rm(folder, { recursive: true, force: true });
    },
  };
  return result;
}
