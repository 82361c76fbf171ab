import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { compilePacketSwitch } from '../../evaluation/src/network/namespace-run.ts';
import { PacketNetwork } from '../../evaluation/src/network/packet-network.ts';
import { makeAuthority, makeNodeCertificate } from '../../src/certificates/certificates.ts';
import { type KeygroupId, parseClusterName, parseNodeId } from '../../src/domain/identifiers.ts';
import { freePort } from '../free-port.ts';
import { ClusterNode } from './cluster-node.ts';
import { compiledLibrary } from './compiled.ts';
import { FaultyNetwork } from './network.ts';

export interface ClusterOptions {
  readonly nodes: number;
  readonly folder: string;
  readonly natsProgram: string;
  readonly seed: number;
  /** Why this process has no network of its own, where it has none: then the nodes share this machine's loopback. */
  readonly whyNoNamespaces: string | undefined;
}

/** What the machine allows; each is a reason why not, or nothing. */
export interface Abilities {
  readonly network: string | undefined;
  readonly disks: string | undefined;
  readonly clocks: string | undefined;
}

/** Room for a run's records, and small enough to be filled quickly. */
const DISK_BYTES = 192 * 1024 * 1024;
export const CLUSTER = 'faults';
const API_PORT = 8081;
const NATS_PORT = 4222;
/** The clients' end of the network. */
const CLIENTS_END = 1;

export interface Guest {
  readonly id: string;
  /** Where its nats-server is to listen. */
  readonly host: string;
  readonly port: number;
  readonly folder: string;
  /** Folder of all certificates. */
  readonly certs: string | undefined;
  readonly enter: (words: readonly string[]) => string[];
}

/** Edge nodes as processes, each in a network namespace of its own and with a disk of its own where that is allowed. */
export class FaultCluster {
  readonly nodes: readonly ClusterNode[];
  readonly network: FaultyNetwork | undefined;
  readonly abilities: Abilities;
  readonly folder: string;
  readonly natsProgram: string;

  private constructor(parts: Pick<FaultCluster, 'nodes' | 'network' | 'abilities' | 'folder' | 'natsProgram'>) {
    this.nodes = parts.nodes;
    this.network = parts.network;
    this.abilities = parts.abilities;
    this.folder = parts.folder;
    this.natsProgram = parts.natsProgram;
  }

  /** One end of the network more than nodes is left for a guest. */
  static async make(options: ClusterOptions): Promise<FaultCluster> {
    const { folder, natsProgram, whyNoNamespaces } = options;
    const ids = Array.from({ length: options.nodes }, (_, i) => `e${i + 1}`);
    mkdirSync(join(folder, 'logs'), { recursive: true });
    const clock = process.platform === 'linux' ? compiledLibrary('skewed-clock', folder) : NO_PRELOAD;
    const { network, whyNot } = await makeNetwork(ids.length + 2, options);
    const certs = join(folder, 'certs');
    if (network !== undefined) {
      await makeAuthority({ dir: certs, cluster: parseClusterName(CLUSTER), days: 1, force: false });
      for (const [i, id] of [...ids, GUEST_ID].entries()) {
        const request = { dir: certs, nodeId: parseNodeId(id), hosts: [network.address(i + 2)], days: 1, force: false };
        await makeNodeCertificate(request);
      }
    }
    const places = await Promise.all(
      ids.map(async (id, i) => {
        const host = network?.address(i + 2) ?? '127.0.0.1';
        const ports = network === undefined ? [await freePort(), await freePort()] : [API_PORT, NATS_PORT];
        return { id, apiAddress: `${host}:${ports[0]}`, natsAddress: `${host}:${ports[1]}` };
      }),
    );
    const nodes = places.map(
      ({ id, apiAddress, natsAddress }, i) =>
        new ClusterNode({
          id,
          cluster: CLUSTER,
          apiAddress,
          natsAddress,
          natsProgram,
          folder: join(folder, id),
          peers: places.filter((other) => other.id !== id).map((other) => `${other.id}=${other.natsAddress}`),
          certsDir: network === undefined ? undefined : join(certs, id),
          enter: (words) => network?.enter(i + 2, words) ?? [...words],
          clockLibrary: 'path' in clock ? clock.path : undefined,
          diskBytes: whyNoNamespaces === undefined ? DISK_BYTES : undefined,
          logFile: join(folder, 'logs', `${id}.log`),
        }),
    );
    return new FaultCluster({
      nodes,
      network,
      folder,
      natsProgram,
      abilities: {
        network: whyNot,
        disks: whyNoNamespaces,
        clocks: 'whyNot' in clock ? clock.whyNot : undefined,
      },
    });
  }

  /** Which end of the network a node is. */
  endOf(node: ClusterNode): number {
    return this.nodes.indexOf(node) + CLIENTS_END + 1;
  }

  /** The place of one more node, which is not started with the others. */
  async guest(): Promise<Guest> {
    const end = this.nodes.length + CLIENTS_END + 1;
    const folder = join(this.folder, GUEST_ID);
    mkdirSync(folder, { recursive: true });
    const { network } = this;
    if (network === undefined) {
      const port = await freePort();
      return { id: GUEST_ID, host: '127.0.0.1', port, folder, certs: undefined, enter: (words) => [...words] };
    }
    const certs = join(this.folder, 'certs');
    const enter = (words: readonly string[]) => network.enter(end, words);
    return { id: GUEST_ID, host: network.address(end), port: NATS_PORT, folder, certs, enter };
  }

  /** Of the model that all of them serve. */
  async keygroup(): Promise<KeygroupId> {
    for (const node of this.nodes) {
      const answer = await node.ask('/nodes');
      if (answer?.status === 200) return answer.body.nodes[0].keygroups[0];
    }
    throw new Error('no node names its keygroup');
  }

  async start(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.start()));
  }

  async end(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await this.network?.close();
  }
}

/** A node that is let in and misbehaves. */
const GUEST_ID = 'guest';
const NO_PRELOAD = { whyNot: 'LD_PRELOAD is for Linux' };

async function makeNetwork(
  ends: number,
  { folder, seed, whyNoNamespaces }: ClusterOptions,
): Promise<{ network: FaultyNetwork | undefined; whyNot: string | undefined }> {
  if (whyNoNamespaces !== undefined) return { network: undefined, whyNot: whyNoNamespaces };
  try {
    const packets = await PacketNetwork.make(ends, { program: compilePacketSwitch(folder), seed });
    return { network: new FaultyNetwork(packets), whyNot: undefined };
  } catch (error) {
    return { network: undefined, whyNot: `the packet switch does not work: ${(error as Error).message}` };
  }
}
