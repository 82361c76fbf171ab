import type { NodeId } from '../../../domain/identifiers.ts';

/** Starts of a node that were followed by another: more in one process's life than can be meant. */
const EARLIER_STARTS_MAX = 16;

/** Starts of nodes that others have followed. One that greets again is a second node under the id of the first. */
export class EarlierStarts {
  readonly #instances = new Map<NodeId, readonly string[]>();

  has(nodeId: NodeId, instance: string): boolean {
    return this.#instances.get(nodeId)?.includes(instance) === true;
  }

  add(nodeId: NodeId, instance: string): void {
    const earlier = this.#instances.get(nodeId) ?? [];
    this.#instances.set(nodeId, [...earlier, instance].slice(-EARLIER_STARTS_MAX));
  }

  forget(nodeId: NodeId): void {
    this.#instances.delete(nodeId);
  }
}
