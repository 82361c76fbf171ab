import type { ReplicationStatus } from '../../context-store/replication-status.ts';
import type { KeygroupId, NodeId } from '../../domain/identifiers.ts';
import type { NodesInView, PlacedNode } from './warming-policy.ts';

/** Who is there changes in seconds; records come by the thousand. */
const LOOK_EVERY_MS = 1_000;

/** The nodes that serve a keygroup, as the store knows them. */
export function nodesInView(
  { keygroup, nodeId }: { readonly keygroup: KeygroupId; readonly nodeId: NodeId },
  { status, monotonic }: { readonly status: () => ReplicationStatus; readonly monotonic: () => number },
): NodesInView {
  let seen: { readonly atMs: number; readonly self: PlacedNode; readonly others: readonly PlacedNode[] } | undefined;
  const look = () => {
    const atMs = monotonic();
    if (seen !== undefined && atMs - seen.atMs < LOOK_EVERY_MS) return seen;
    const { node, peers } = status();
    const others = peers.flatMap((peer) =>
      peer.state !== 'refused' && peer.node?.keygroups.includes(keygroup)
        ? [{ nodeId: peer.nodeId, location: peer.node.location }]
        : [],
    );
    seen = { atMs, self: { nodeId, location: node.location }, others };
    return seen;
  };
  return {
    get self() {
      return look().self;
    },
    others: () => look().others,
  };
}
