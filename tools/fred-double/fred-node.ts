import {
  type ClientMethods,
  FRED_ROLES,
  type FredItem,
  type FredTrigger,
  type ItemPlace,
  TRIGGER_METHODS,
  type Unary,
} from '../../src/context-store/fred/wire/contract.ts';
import type { FredTls } from '../../src/context-store/fred/wire/fred-tls.ts';
import { Channels } from './channels.ts';
import { CachedNames, type NamedKeygroup, type NamingService, type RegisteredNode } from './naming-service.ts';
import { NodeReplication } from './node-replication.ts';
import { type NodeFolder, NodeStore, Panic } from './node-store.ts';
import { PEERING_METHODS, type PeeringMethods } from './peering.ts';

export type Answers<Methods, Caller extends unknown[]> = {
  readonly [Name in keyof Methods]: Methods[Name] extends Unary<infer Request, infer Response>
    ? (request: Request, ...caller: Caller) => Promise<Response>
    : never;
};

export interface FredNodeOptions {
  readonly self: RegisteredNode;
  readonly naming: NamingService;
  readonly folder: NodeFolder;
  readonly tls: FredTls;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** `--peer-async-replication`: the writer does not wait for the peers. */
  readonly isAsync: boolean;
}

const ROLES = FRED_ROLES;

/**
 * What one run of a FReD node's process does, as FReD 0.2.19 was seen to do it: its texts, its order of steps and what it
 * leaves out. Every method fails with FReD's text; `Panic` ends the process.
 */
export class FredNode {
  /** What was passed on by peers from now on fires no triggers, and nobody is told. */
  losesTriggers = false;
  readonly #self: RegisteredNode;
  readonly #naming: NamingService;
  readonly #names: CachedNames;
  readonly #store: NodeStore;
  readonly replication: NodeReplication;
  readonly #triggers: Channels;

  constructor({ self, naming, folder, tls, now, isAsync }: FredNodeOptions) {
    this.#self = self;
    this.#naming = naming;
    this.#names = new CachedNames(naming);
    this.#store = new NodeStore({ nodeId: self.nodeId, folder, now });
    this.replication = new NodeReplication({ self, naming, names: this.#names, store: this.#store, tls, isAsync });
    this.#triggers = new Channels(tls);
  }

  /** The first thing that a process does. Throws while the naming service is down, and `Panic` for a folder it cannot go on with. */
  async recover(): Promise<void> {
    this.#naming.demand();
    this.#naming.nodes.set(this.#self.nodeId, this.#self);
    const missed = this.#naming.missedBy(this.#self.nodeId);
    this.#naming.forgetMissed(this.#self.nodeId);
    // It writes what it missed into keygroups of an earlier run; in a wiped folder there are none, and it misses that for good.
    if (missed.some(({ keygroup }) => this.#store.has(keygroup))) throw new Panic('nil pointer dereference');
  }

  close(): void {
    this.replication.reset();
    this.#triggers.reset();
  }

  readonly client: Answers<ClientMethods, [user: string]> = {
    CreateKeygroup: async ({ keygroup, isMutable, expirySeconds }, user) => {
      const failed = 'error creating keygroup';
      const exists = await this.#lookUp(() => this.#names.keygroup(keygroup) !== undefined, failed);
      if (exists) throw new Error(failed);
      const created: NamedKeygroup = {
        isMutable,
        members: new Map([[this.#self.nodeId, expirySeconds]]),
        roles: new Map([[user, new Set(Object.values(ROLES))]]),
      };
      await this.#lookUp(() => this.#naming.demand(), failed);
      this.#naming.keygroups.set(keygroup, created);
      doing(failed, () => this.#store.create(keygroup));
      return {};
    },

    AddReplica: async ({ keygroup, nodeId, expirySeconds }, user) => {
      this.#allow(user, ROLES.configureReplica, `add replica to keygroup ${keygroup}`, keygroup);
      try {
        await this.replication.add({ keygroup, nodeId, expirySeconds });
      } catch {
        throw new Error('error adding replica');
      }
      return {};
    },

    RemoveReplica: async ({ keygroup, nodeId }, user) => {
      const { members } = this.#allow(user, ROLES.configureReplica, `remove replica of keygroup ${keygroup}`, keygroup);
      const failed = 'error removing replica';
      const host = this.#names.node(nodeId)?.peerHost;
      if (host === undefined || !members.has(nodeId) || members.size < 2) throw new Error(failed);
      await this.replication.send(host, PEERING_METHODS.DeleteKeygroup, { keygroup }).catch(() => {
        throw new Error(failed);
      });
      members.delete(nodeId);
      return {};
    },

    GetKeygroupInfo: async ({ keygroup }, user) => {
      const found = this.#allow(user, ROLES.configureReplica, `get replica for keygroup ${keygroup}`, keygroup);
      const replicas = [...found.members].map(([nodeId, expirySeconds]) => ({
        nodeId,
        expirySeconds,
        host: this.#names.node(nodeId)?.host ?? '',
      }));
      return { isMutable: found.isMutable, replicas };
    },

    GetAllReplica: async () => ({ replicas: this.#names.nodes().map(({ nodeId, host }) => ({ nodeId, host })) }),

    AddTrigger: async ({ keygroup, triggerId, host }, user) => {
      this.#allow(user, ROLES.configureTrigger, `add trigger to keygroup ${keygroup}`, keygroup);
      doing('error adding replica', () => this.#store.triggers(keygroup).set(triggerId, { triggerId, host }));
      return {};
    },

    RemoveTrigger: async ({ keygroup, triggerId }, user) => {
      this.#allow(user, ROLES.configureTrigger, `remove triggers from keygroup ${keygroup}`, keygroup);
      doing('error removing trigger', () => this.#store.triggers(keygroup).delete(triggerId));
      return {};
    },

    GetKeygroupTriggers: async ({ keygroup }, user) => {
      this.#allow(user, ROLES.configureTrigger, `get triggers for keygroup ${keygroup}`, keygroup);
      return { triggers: [...this.#store.triggers(keygroup).values()] };
    },

    AddUser: async ({ user: added, keygroup, role }, user) => {
      const { roles } = this.#allow(
        user,
        ROLES.configureKeygroups,
        `add user permissions to keygroup ${keygroup}`,
        keygroup,
      );
      roles.set(added, new Set([...(roles.get(added) ?? []), role]));
      return {};
    },

    Update: async ({ keygroup, id, value }, user) => {
      const { members } = this.#allow(user, ROLES.write, `update in keygroup ${keygroup}`, keygroup);
      const failed = 'error updating item';
      const expirySeconds = members.get(this.#self.nodeId) ?? 0;
      const version = doing(failed, () => this.#store.write({ keygroup, id, value }, expirySeconds));
      await this.replication.relay({ keygroup, id, value, isTombstone: false, version });
      await this.#fire({ keygroup, id, value }, failed);
      return { version: { ticks: version } };
    },

    Delete: async ({ keygroup, id }, user) => {
      this.#allow(user, ROLES.write, `delete keygroup ${keygroup}`, keygroup);
      if (!this.#store.has(keygroup) || this.#store.items(keygroup).read(id).length === 0)
        throw new Error('item does not exist so it cannot be deleted');
      const version = doing('error updating item', () => this.#store.bury({ keygroup, id }));
      await this.replication.relay({ keygroup, id, value: '', isTombstone: true, version });
      const triggers = [...this.#store.triggers(keygroup).values()];
      await this.#tell(triggers, TRIGGER_METHODS.DeleteItemTrigger, { keygroup, id }, 'error deleting item');
      return { version: { ticks: version } };
    },

    Read: async ({ keygroup, id }, user) => {
      this.#allow(user, ROLES.read, `read from keygroup ${keygroup}`, keygroup);
      const failed = `error reading item ${id} from keygroup ${keygroup}`;
      const items = doing(failed, () => this.#store.items(keygroup).read(id)).filter(({ value }) => value !== '');
      if (items.length === 0) throw new Error(`item ${id} not found in keygroup ${keygroup}`);
      return { items: items.map(asMessage) };
    },

    Scan: async (range, user) => ({ items: this.#some(range, user, 'error scanning').map(asMessage) }),

    Keys: async (range, user) => ({
      keys: this.#some(range, user, 'error scanning keys for').map(({ id, version }) => ({
        id,
        version: { ticks: version },
      })),
    }),
  };

  readonly peer: Answers<PeeringMethods, []> = {
    CreateKeygroup: async ({ keygroup }) => {
      doing('error creating keygroup', () => this.#store.create(keygroup));
      return {};
    },

    DeleteKeygroup: async ({ keygroup }) => {
      doing('error deleting keygroup', () => this.#store.drop(keygroup));
      return {};
    },

    PutItem: async (item) => {
      const expirySeconds = this.#names.keygroup(item.keygroup)?.members.get(this.#self.nodeId) ?? 0;
      doing('error updating item', () => this.#store.add(item, expirySeconds));
      if (!this.losesTriggers) await this.#fire(item, 'error updating item');
      return {};
    },

    GetAllItems: async ({ keygroup }) => ({
      items: doing('error reading all keygroup items', () => this.#store.items(keygroup).readAll()),
    }),
  };

  async #fire({ keygroup, id, value }: ItemPlace & { readonly value: string }, failed: string): Promise<void> {
    const triggers = [...this.#store.triggers(keygroup).values()];
    await this.#tell(triggers, TRIGGER_METHODS.PutItemTrigger, { keygroup, id, value }, failed);
  }

  async #tell<Request>(
    triggers: readonly FredTrigger[],
    method: Unary<Request, object>,
    request: Request,
    failed: string,
  ): Promise<void> {
    const told = await Promise.allSettled(triggers.map(({ host }) => this.#triggers.call(host, method, request)));
    if (told.some(({ status }) => status === 'rejected')) throw new Error(failed);
  }

  #some(
    { keygroup, id, count }: ItemPlace & { readonly count: number },
    user: string,
    failed: string,
  ): readonly FredItem[] {
    this.#allow(user, ROLES.read, `read from keygroup ${keygroup}`, keygroup);
    if (count < 1) throw new Error(`count must be at least 1, got ${count}`);
    return doing(`${failed} ${count} items starting at ${id} from keygroup ${keygroup}`, () => {
      const items = this.#store.items(keygroup);
      if (items.read(id).length === 0) throw new Error(`no such item ${id}`);
      return items.readSome(id, count);
    });
  }

  #allow(user: string, role: number, toDo: string, keygroup: string): NamedKeygroup {
    const refused = new Error(`user ${user} cannot ${toDo}`);
    const found = doing(refused.message, () => this.#names.keygroup(keygroup));
    if (found === undefined || !found.roles.get(user)?.has(role)) throw refused;
    return found;
  }

  /** A question to the naming service, during which others ask, too. */
  async #lookUp<Value>(ask: () => Value, failed: string): Promise<Value> {
    const value = doing(failed, ask);
    await new Promise((resolve) => setImmediate(resolve));
    return value;
  }
}

/** Fails with FReD's generic text, whatever the reason, unless it ends the process. */
function doing<Value>(failed: string, work: () => Value): Value {
  try {
    return work();
  } catch (error) {
    throw error instanceof Panic ? error : new Error(failed);
  }
}

function asMessage({ id, value, version }: FredItem) {
  return { id, value, version: { ticks: version } };
}
