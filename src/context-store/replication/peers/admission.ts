import type { NodeId } from '../../../domain/identifiers.ts';
import type { Logger } from '../../../environment/environment.ts';
import type { KnownSigners } from '../signatures/known-signers.ts';
import { EarlierStarts } from './earlier-starts.ts';
import type { PeerCalls } from './peer-calls.ts';
import { NODES_MAX, type NodeAnnouncement, type NodeRefusal } from './peer-protocol.ts';

export interface AdmissionParts {
  readonly own: () => NodeAnnouncement;
  readonly excluded: readonly NodeId[];
  /** The peer of that id as it is known here. */
  readonly peer: (
    nodeId: NodeId,
  ) => { readonly node: NodeAnnouncement | undefined; readonly calls: Pick<PeerCalls, 'answersAs'> } | undefined;
  /** Whether that node can be known beside those that are. */
  readonly hasRoom: (nodeId: NodeId) => boolean;
  readonly signers?: KnownSigners | undefined;
}

/** Which nodes may take part, and why others may not. */
export class Admission {
  readonly #parts: AdmissionParts;
  readonly #logger: Logger;
  readonly #earlierStarts = new EarlierStarts();
  readonly #refused = new Map<NodeId, NodeRefusal>();

  constructor(parts: AdmissionParts, logger: Logger) {
    this.#parts = parts;
    this.#logger = logger;
  }

  get refused(): Record<string, NodeRefusal> {
    return Object.fromEntries(this.#refused);
  }

  /** Why a node that greets this one is refused, which is noted; `undefined` when it is not. */
  async judge(node: NodeAnnouncement): Promise<NodeRefusal | undefined> {
    const refusal = await this.#refusalOf(node);
    if (refusal === undefined) this.accept(node.nodeId);
    else this.refuse(node.nodeId, refusal);
    return refusal;
  }

  accept(nodeId: NodeId): void {
    this.#refused.delete(nodeId);
  }

  refuse(nodeId: NodeId, reason: NodeRefusal): void {
    const told = this.#refused.get(nodeId);
    if (told === reason || (told === undefined && this.#refused.size >= NODES_MAX)) return;
    this.#logger.error('node_refused', { peer: nodeId, reason });
    this.#refused.set(nodeId, reason);
  }

  forget(nodeId: NodeId): void {
    this.#earlierStarts.forget(nodeId);
  }

  async #refusalOf(node: NodeAnnouncement): Promise<NodeRefusal | undefined> {
    const { own: describe, excluded, peer, hasRoom, signers } = this.#parts;
    const own = describe();
    if (node.cluster !== own.cluster) return 'other_cluster';
    if (excluded.includes(node.nodeId)) return 'excluded';
    if (signers !== undefined) {
      signers.learn(node.nodeId, node.signer);
      if (!signers.mayTakePart(node.nodeId)) return 'unproved';
      if (!signers.mayServe(node.nodeId, node.keygroups)) return 'keygroup_not_listed';
    }
    if (node.nodeId === own.nodeId) return node.instance === own.instance ? undefined : 'duplicate_node_id';
    if (this.#earlierStarts.has(node.nodeId, node.instance)) return 'duplicate_node_id';
    const there = peer(node.nodeId);
    if (there === undefined && !hasRoom(node.nodeId)) return 'cluster_full';
    const known = there?.node;
    if (there === undefined || known === undefined || known.instance === node.instance) return undefined;
    // Started anew, or another node under the same id: the one known so far still answers then.
    if (await there.calls.answersAs(known.instance)) return 'duplicate_node_id';
    // Or it answers again later: of two under one id each may cut the other off.
    this.#earlierStarts.add(node.nodeId, known.instance);
    return undefined;
  }
}
