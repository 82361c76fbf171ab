import type { FredItem, Unary } from '../../src/context-store/fred/wire/contract.ts';
import type { FredTls } from '../../src/context-store/fred/wire/fred-tls.ts';
import { Channels } from './channels.ts';
import type { CachedNames, NamingService, RegisteredNode } from './naming-service.ts';
import type { NodeStore } from './node-store.ts';
import { PEERING_METHODS, type PeerItem } from './peering.ts';

export interface NodeReplicationOptions {
  readonly self: RegisteredNode;
  readonly naming: NamingService;
  readonly names: CachedNames;
  readonly store: NodeStore;
  readonly tls: FredTls;
  readonly isAsync: boolean;
}

/** How one run of a FReD node passes items on to the others that hold their keygroup, and takes in those that join. */
export class NodeReplication {
  /** No peer is reached. */
  isCut = false;
  readonly #self: RegisteredNode;
  readonly #naming: NamingService;
  readonly #names: CachedNames;
  readonly #store: NodeStore;
  readonly #isAsync: boolean;
  readonly #peers: Channels;

  constructor({ self, naming, names, store, tls, isAsync }: NodeReplicationOptions) {
    this.#self = self;
    this.#naming = naming;
    this.#names = names;
    this.#store = store;
    this.#isAsync = isAsync;
    this.#peers = new Channels(tls);
  }

  async add({ keygroup, nodeId, expirySeconds }: { keygroup: string; nodeId: string; expirySeconds: number }) {
    const members = this.#names.keygroup(keygroup)?.members;
    const host = this.#names.node(nodeId)?.peerHost;
    const isSelf = nodeId === this.#self.nodeId;
    if (members === undefined || host === undefined) throw new Error('no such keygroup or node');
    if (!isSelf && !this.#store.has(keygroup)) throw new Error('not a replica');
    this.#naming.demand();
    members.set(nodeId, expirySeconds);
    await this.send(host, PEERING_METHODS.CreateKeygroup, { keygroup, expirySeconds });
    const holder = [...members].find(([other]) => other !== this.#self.nodeId)?.[0];
    if (isSelf && holder === undefined) return;
    const items = isSelf
      ? (await this.#fetchAll(holder as string, keygroup)).map((item) => ({ ...item, isTombstone: false }))
      : this.#store
          .items(keygroup)
          .readAll()
          .map((item) => ({ ...item, isTombstone: item.value === '' }));
    for (const item of items) {
      await this.send(host, PEERING_METHODS.PutItem, { keygroup, ...item }).catch(() =>
        this.#naming.tellMissed(nodeId, { keygroup, id: item.id }),
      );
    }
  }

  async #fetchAll(holder: string, keygroup: string): Promise<readonly FredItem[]> {
    const host = this.#names.node(holder)?.peerHost;
    if (host === undefined) throw new Error('no such node');
    return (await this.send(host, PEERING_METHODS.GetAllItems, { keygroup })).items;
  }

  /** To all other members; what one of them does not take is noted in the naming service and never sent again. */
  async relay(item: PeerItem): Promise<void> {
    const others = [...(this.#names.keygroup(item.keygroup)?.members.keys() ?? [])].filter(
      (nodeId) => nodeId !== this.#self.nodeId,
    );
    const sent = others.map(async (nodeId) => {
      try {
        await this.send(this.#names.node(nodeId)?.peerHost ?? '', PEERING_METHODS.PutItem, item);
      } catch {
        if (!this.#naming.isDown) this.#naming.tellMissed(nodeId, item);
      }
    });
    if (!this.#isAsync) await Promise.all(sent);
  }

  async send<Request, Response>(host: string, method: Unary<Request, Response>, request: Request): Promise<Response> {
    if (this.isCut && host !== this.#self.peerHost) throw new Error('connect ECONNREFUSED');
    return this.#peers.call(host, method, request);
  }

  /** All peers are tried again at once. */
  reset(): void {
    this.#peers.reset();
  }
}
