import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { FredTlsFiles } from '../../src/context-store/fred/wire/fred-tls.ts';
import { type FredStore, type FredStoreOptions, openFredStore } from '../../src/context-store/fred.ts';
import { openReplica } from '../../src/context-store/leveldb/replica.ts';
import type { ClusterName } from '../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { FredDoubles } from '../../tools/fred-double/fred-doubles.ts';
import { watchedEnvironment } from '../../tools/supervised-nats.ts';
import { KEYGROUP } from '../../tools/turn-records.ts';
import { SharingStoreNode } from './sharing-store-node.ts';

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
export class FredStoreNode extends SharingStoreNode<FredStore> {
  readonly environment: ReturnType<typeof watchedEnvironment>;
  readonly host: string;
  readonly folder: string;
  readonly #tls: FredTlsFiles;
  readonly #cluster: ClusterName;

  constructor(
    id: string,
    place: { folder: string; host: string; tls: FredTlsFiles; cluster: string; clockSpeed?: number },
  ) {
    super(id);
    this.folder = place.folder;
    this.host = place.host;
    this.#tls = place.tls;
    this.#cluster = place.cluster as ClusterName;
    // Chance is real: two nodes must not draw the same incarnation.
    const { random } = nodeEnvironment({ logLevel: 'silent', nodeId: id });
    this.environment = { ...watchedEnvironment(place.clockSpeed ?? 1), random };
  }

  async open(options: Partial<FredStoreOptions> = {}): Promise<FredStore> {
    const store = await openFredStore(
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
    return this.opened(store);
  }

  async wipeReplica(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
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
