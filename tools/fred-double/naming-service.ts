import type { FredNode, ItemPlace } from '../../src/context-store/fred/wire/contract.ts';

export interface RegisteredNode extends FredNode {
  readonly peerHost: string;
}

export interface NamedKeygroup {
  readonly isMutable: boolean;
  /** Seconds of expiry by node that holds it. */
  readonly members: Map<string, number>;
  readonly roles: Map<string, Set<number>>;
}

/** What etcd is to FReD: who is there, who holds what, who may do what, and who missed what. Survives all nodes. */
export class NamingService {
  isDown = false;
  readonly nodes = new Map<string, RegisteredNode>();
  readonly keygroups = new Map<string, NamedKeygroup>();
  readonly #missed = new Map<string, Map<string, ItemPlace>>();

  /** Throws while it is down. */
  demand(): void {
    if (this.isDown) throw new Error('context deadline exceeded');
  }

  tellMissed(nodeId: string, { keygroup, id }: ItemPlace): void {
    const items = this.#missed.get(nodeId) ?? new Map<string, ItemPlace>();
    this.#missed.set(nodeId, items.set(`${keygroup}|${id}`, { keygroup, id }));
  }

  missedBy(nodeId: string): readonly ItemPlace[] {
    return [...(this.#missed.get(nodeId)?.values() ?? [])];
  }

  forgetMissed(nodeId: string): void {
    this.#missed.delete(nodeId);
  }
}

/** One node's view of the naming service (`--nase-cached`): what it has asked before it knows while the service is down. */
export class CachedNames {
  readonly #service: NamingService;
  readonly #known = new Map<string, unknown>();

  constructor(service: NamingService) {
    this.#service = service;
  }

  /** `undefined` where there is no such keygroup. Throws while the service is down, for one not asked for before. */
  keygroup(name: string): NamedKeygroup | undefined {
    return this.#ask(`keygroup ${name}`, () => this.#service.keygroups.get(name));
  }

  node(nodeId: string): RegisteredNode | undefined {
    return this.#ask(`node ${nodeId}`, () => this.#service.nodes.get(nodeId));
  }

  nodes(): readonly RegisteredNode[] {
    this.#service.demand();
    return [...this.#service.nodes.values()];
  }

  #ask<Value>(key: string, read: () => Value): Value {
    if (!this.#service.isDown) {
      const value = read();
      if (value !== undefined) this.#known.set(key, value);
      return value;
    }
    if (!this.#known.has(key)) this.#service.demand();
    return this.#known.get(key) as Value;
  }
}
