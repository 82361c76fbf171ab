import type { NodeId } from '../../../domain/identifiers.ts';
import { NODES_MAX } from '../../replication/peers/peer-protocol.ts';
import type { LimitedNode } from '../../replication/peers/reading-rights.ts';

/** What certificates that list keygroups let their nodes read, as far as a server has to know. */
export class LimitedMembers {
  readonly #limits = new Map<NodeId, readonly LimitedNode[]>();

  get all(): readonly LimitedNode[] {
    return [...this.#limits.values()].flat();
  }

  /** Takes in what is known of a node's certificates; returns whether that is news. */
  note(nodeId: NodeId, limits: readonly LimitedNode[]): boolean {
    const distinct = [...new Map(limits.map((limit) => [limit.reads.join(), limit])).values()];
    const isSame = namesOf(distinct) === namesOf(this.#limits.get(nodeId) ?? []);
    if (isSame || (!this.#limits.has(nodeId) && this.#limits.size >= NODES_MAX)) return false;
    this.#limits.set(nodeId, distinct);
    return true;
  }

  forget(nodeId: NodeId): void {
    this.#limits.delete(nodeId);
  }
}

function namesOf(limits: readonly LimitedNode[]): string {
  return limits.map(({ reads }) => reads.join()).join(' ');
}
