import { fileURLToPath } from 'node:url';
import { startProcess } from '../processes.ts';
import { CLUSTER, type FaultCluster } from './cluster.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { HostilePeerOptions } from './hostile-peer.ts';

const PROGRAM = fileURLToPath(new URL('./hostile-peer.ts', import.meta.url));
const WAIT_MS = 60_000;
const LOOK_EVERY_MS = 50;

/**
 * Lets in a node that publishes rubbish: one of the others is started anew with its address, the rest learn of it from
 * that one. Resolves with how many records were refused for which reason, once every node says that it has refused them all.
 */
export async function letInHostileGuest(
  cluster: FaultCluster,
  options: { readonly knownTo: ClusterNode; readonly goodSession: HostilePeerOptions['goodSession'] },
): Promise<Readonly<Record<string, number>>> {
  const guest = await cluster.guest();
  await options.knownTo.stop();
  await options.knownTo.start([`${guest.id}=${guest.host}:${guest.port}`]);
  const peerOptions: HostilePeerOptions = {
    nodeId: guest.id,
    cluster: CLUSTER,
    keygroup: await cluster.keygroup(),
    host: guest.host,
    port: guest.port,
    folder: guest.folder,
    natsProgram: cluster.natsProgram,
    certs: guest.certs,
    peers: cluster.nodes.map(({ id, natsUrl }) => ({ nodeId: id, url: natsUrl })),
    goodSession: options.goodSession,
  };
  const [command = '', ...args] = guest.enter([
    process.execPath,
    ...['--import', 'tsx', PROGRAM, JSON.stringify(peerOptions)],
  ]);
  const peer = await startProcess({ name: 'hostile peer', command, args });
  try {
    await peer.waitForLine(/^joined/, { waitMs: WAIT_MS });
    await Promise.all(
      cluster.nodes.map((node) =>
        untilSeen(node, guest.id, ({ state, logs }) => state === 'connected' && logs[0]?.cursor === 1),
      ),
    );
    peer.kill('SIGUSR2');
    const [, json = ''] = await peer.waitForLine(/^published (.*)/, { waitMs: WAIT_MS });
    const counts: Record<string, number> = JSON.parse(json);
    const wanted = sorted(counts);
    await Promise.all(
      cluster.nodes.map((node) => untilSeen(node, guest.id, (seen) => sorted(seen.refused_records) === wanted)),
    );
    return counts;
  } finally {
    await peer.stop();
  }
}

/** The guest as a node's directory shows it. */
interface SeenGuest {
  readonly state: string;
  readonly logs: readonly { readonly cursor: number }[];
  readonly refused_records: Readonly<Record<string, number>>;
}

async function untilSeen(node: ClusterNode, guest: string, isSo: (seen: SeenGuest) => boolean): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  for (;;) {
    const answer = await node.ask('/nodes');
    const seen = answer?.body?.nodes?.find(({ node: id }: { node: string }) => id === guest);
    if (seen !== undefined && isSo(seen)) return;
    if (performance.now() > endMs) throw new Error(`${node.id} sees the guest as ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

function sorted(counts: Readonly<Record<string, number>>): string {
  return JSON.stringify(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}
