import { RECORD_FORMAT_VERSION } from '../../../domain/record/record-version.ts';
import type { KnownSigners } from '../signatures/known-signers.ts';
import { type HelloReply, NODES_MAX, type NodeAnnouncement } from './peer-protocol.ts';

/**
 * Why the node that answered a greeting and this one must not share records; `undefined` when they may. What it says of its key is
 * learned.
 */
export function whyRefused(
  { node, refused }: HelloReply,
  { expected, own, signers }: { expected: string; own: NodeAnnouncement; signers?: KnownSigners | undefined },
): string | undefined {
  if (refused === 'duplicate_node_id') return `node id ${own.nodeId} is in use by another node of the cluster`;
  if (refused === 'excluded') return `${node.nodeId} excludes this node`;
  if (refused === 'cluster_full')
    return `${node.nodeId} knows ${NODES_MAX} nodes already, and none of them has been away for an hour`;
  if (node.cluster !== own.cluster) return `it belongs to cluster ${node.cluster}, this node to ${own.cluster}`;
  if (node.nodeId !== expected) return `its node id is ${node.nodeId}, not ${expected}`;
  if (node.instance === own.instance) return 'this is the node itself';
  if (refused === 'unproved')
    return `${node.nodeId} takes nodes that sign their records alone (require-signed-records), and this one does not`;
  if (refused === 'keygroup_not_listed')
    return `this node serves a keygroup that its certificate does not list, says ${node.nodeId}`;
  if (signers !== undefined) {
    signers.learn(node.nodeId, node.signer);
    if (!signers.mayTakePart(node.nodeId))
      return 'it does not sign its records, as every node has to here (require-signed-records)';
    if (!signers.mayServe(node.nodeId, node.keygroups))
      return 'it says to serve a keygroup that its certificate does not list';
  }
  return refused;
}

/** A peer whose records this build cannot all read shares the others with it. */
export function upgradeReason(version: number): string {
  return `needs upgrade: its records wait at one of version ${version}, and this node reads up to ${RECORD_FORMAT_VERSION}`;
}
