import { vi } from 'vitest';
import type { ContextStore, SharedContexts } from '../../src/context-store/context-store.ts';
import type { PeerStatus } from '../../src/context-store/replication-status.ts';
import type { Incarnation, NodeId, SessionKey } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { watchedEnvironment } from '../../tools/supervised-nats.ts';
import { sealedTombstone, sealedTurn, sessionKey, type TurnOptions } from '../../tools/turn-records.ts';

/** Whatever is waited for here happens within seconds or not at all. */
const WAIT_MS = 60_000;

/** A store that shares with others, whatever carries its records. */
export type SharingStore = ContextStore & { readonly incarnation: Incarnation; readonly sharing: SharedContexts };

/** An edge node's store among others: what is written at it, and what it has of the others. */
export abstract class SharingStoreNode<Store extends SharingStore = SharingStore> {
  readonly id: NodeId;
  abstract readonly environment: ReturnType<typeof watchedEnvironment>;
  /** Hashes in the order in which they arrived from others. */
  readonly arrived: string[] = [];
  #store: Store | undefined;

  constructor(id: string) {
    this.id = id as NodeId;
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error(`${this.id} is closed`);
    return this.#store;
  }

  protected opened(store: Store): Store {
    this.#store = store;
    store.onRecord((sealed, from) => {
      if (from === 'elsewhere') this.arrived.push(sealed.hash);
    });
    return store;
  }

  async close(): Promise<void> {
    await this.#store?.close();
    this.#store = undefined;
  }

  /** A turn written at this node, and durable. */
  async write(options: TurnOptions = {}): Promise<SealedRecord> {
    return this.append(sealedTurn(options));
  }

  async delete(key: SessionKey): Promise<SealedRecord> {
    return this.append(sealedTombstone({ key }));
  }

  /** `count` sessions of one turn each. */
  async writeMany(count: number, name = 's'): Promise<SealedRecord[]> {
    return Promise.all(Array.from({ length: count }, (_, i) => this.write({ key: sessionKey(`${name}${i}`) })));
  }

  async append({ record }: SealedRecord): Promise<SealedRecord> {
    const own = { ...record, origin: this.id, incarnation: this.store.incarnation };
    const sealed = this.store.sharing.seal?.(own) ?? sealRecord(own);
    await this.store.append(sealed);
    return sealed;
  }

  async holds(records: readonly SealedRecord[]): Promise<boolean> {
    for (const { record, hash } of records) {
      const session = await this.store.read(record);
      if (session?.deleted !== true && !session?.records.some((held) => held.hash === hash)) return false;
    }
    return true;
  }

  /** Resolves when all these records are here. */
  async eventuallyHolds(records: readonly SealedRecord[]): Promise<void> {
    let missing = records;
    await eventually(async () => {
      const next: SealedRecord[] = [];
      for (const sealed of missing) if (!(await this.holds([sealed]))) next.push(sealed);
      missing = next;
      if (missing.length > 0) throw new Error(`${this.id} lacks ${missing.length} of ${records.length} records`);
    });
  }

  peer(other: SharingStoreNode | string): PeerStatus {
    const id = typeof other === 'string' ? other : other.id;
    const status = this.store.sharing.status().peers.find(({ nodeId }) => nodeId === id);
    if (status === undefined) throw new Error(`${this.id} does not know ${id}: ${this.log()}`);
    return status;
  }

  async eventuallyConnected(...others: readonly SharingStoreNode[]): Promise<void> {
    await eventually(() => {
      for (const other of others) {
        const { state, reason } = this.peer(other);
        if (state !== 'connected') throw new Error(`${this.id} finds ${other.id} ${state}: ${reason}`);
      }
    });
  }

  /** Everything this node's log has said, for a test's failure message. */
  log(): string {
    return this.environment.logLines
      .map(({ level, event, fields }) => `${level} ${event} ${JSON.stringify(fields)}`)
      .join('\n');
  }
}

/** Waits for a state that no event tells of, bounded. */
export async function eventually<T>(look: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(look, { timeout: WAIT_MS, interval: 10 });
}
