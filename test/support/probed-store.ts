import type {
  AppendOptions,
  ContextStore,
  ReplicatingStore,
  ReplicationStatus,
  SessionQuery,
  SessionSummary,
  StoredSession,
  StoreStatus,
  WatchableStore,
} from '../../src/context-store/context-store.ts';
import { memoryStore } from '../../src/context-store/memory.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import type { ContextId, SessionKey } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import type { Environment } from '../../src/environment/environment.ts';
import { Hold } from './hold.ts';

type Step = () => Promise<void>;

/** The memory store, watched, and told to be slow or to fail one call at a time. */
export class ProbedStore implements ContextStore {
  /** Every record whose append resolved, in order. */
  readonly appended: SealedRecord[] = [];
  /** Damaged records that `read` reports from now on. */
  corrupt = 0;
  /** Turns whose records `read` finds damaged from now on. */
  readonly damagedTurns = new Set<number>();
  reads = 0;
  readonly #inner: ContextStore;
  readonly #steps = { append: [] as Step[], appended: [] as Step[], read: [] as Step[], answer: [] as Step[] };

  constructor(environment: Environment) {
    this.#inner = memoryStore({}, environment);
  }

  /**
   * The next `append` stays before it stores (`append`) or after (`appended`); the next `read` before it looks (`read`)
   * or after (`answer`), until released.
   */
  hold(where: 'append' | 'appended' | 'read' | 'answer'): Hold {
    const hold = new Hold();
    this.#steps[where].push(() => hold.pass());
    return hold;
  }

  /** The next call fails there: an `append` that fails as `appended` has stored the record all the same. */
  failNext(where: 'append' | 'appended' | 'read'): void {
    this.#steps[where].push(async () => {
      throw new DiscedgeError('store_unavailable', 'the disk is full');
    });
  }

  async append(sealed: SealedRecord, options?: AppendOptions): Promise<void> {
    await this.#steps.append.shift()?.();
    await this.#inner.append(sealed, options);
    await this.#steps.appended.shift()?.();
    this.appended.push(sealed);
  }

  async read(key: SessionKey): Promise<StoredSession | undefined> {
    this.reads++;
    await this.#steps.read.shift()?.();
    const stored = await this.#inner.read(key);
    await this.#steps.answer.shift()?.();
    if (stored === undefined) return undefined;
    const intact = stored.records.filter(({ record }) => record.kind !== 'turn' || !this.damagedTurns.has(record.turn));
    return { ...stored, records: intact, corrupt: this.corrupt + stored.records.length - intact.length };
  }

  list(query: SessionQuery): Promise<SessionSummary[]> {
    return this.#inner.list(query);
  }

  expire(nowMs: number): Promise<number> {
    return this.#inner.expire(nowMs);
  }

  status(): Promise<StoreStatus> {
    return this.#inner.status();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** The same with other nodes behind it: the test says what arrives from them. */
export class ProbedReplica extends ProbedStore implements WatchableStore {
  readonly #listeners = new Set<(sealed: SealedRecord) => void>();

  get watchers(): number {
    return this.#listeners.size;
  }

  watch(listener: (sealed: SealedRecord) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A record of another node becomes durable here and is announced. */
  async arrive(sealed: SealedRecord): Promise<void> {
    await super.append(sealed);
    for (const listener of this.#listeners) listener(sealed);
  }
}

/** The same with peers that acknowledge when the test says so: each record, from then on. */
export class ProbedSharingStore extends ProbedReplica implements ReplicatingStore {
  readonly #environment: Environment;
  readonly #waiting = new Set<() => void>();
  #peers = 0;
  #failing = false;

  constructor(environment: Environment) {
    super(environment);
    this.#environment = environment;
  }

  /** So many peers have every record that is here. */
  acknowledge(peers: number): void {
    this.#peers = peers;
    for (const wake of this.#waiting) wake();
  }

  failNextWait(): void {
    this.#failing = true;
  }

  async awaitReplicated(_hash: ContextId, waitMs: number, signal: AbortSignal): Promise<number> {
    if (this.#failing) throw new DiscedgeError('overloaded', 'too many wait');
    signal.throwIfAborted();
    if (this.#peers === 0) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          cancel();
          this.#waiting.delete(wake);
          resolve();
        };
        const cancel = this.#environment.clock.after(waitMs, wake);
        this.#waiting.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    signal.throwIfAborted();
    return this.#peers;
  }

  replicationStatus(): ReplicationStatus {
    throw new TypeError('no test asks for it');
  }
}
