import type {
  AppendOptions,
  ContextStore,
  RecordListener,
  RemovalListener,
  SessionQuery,
  SharedContexts,
} from '../../src/context-store/context-store.ts';
import { memoryStore } from '../../src/context-store/memory.ts';
import type { ReplicationStatus } from '../../src/context-store/replication-status.ts';
import type { TurnArbitration } from '../../src/context-store/turn-arbitration.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import type { ContextId, SessionKey } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import type { Environment } from '../../src/environment/environment.ts';

/** One node's replica: what it writes waits to be carried to the others, in order, when the simulation says so. */
export class SimulatedReplica implements ContextStore {
  readonly sharing: SharedContexts;
  /** On its disk, whoever wrote it. */
  readonly held = new Map<ContextId, SealedRecord>();
  /** Told of each record written here. */
  onWritten: (sealed: SealedRecord) => void = () => {};
  readonly #environment: Environment;
  readonly #inner: ContextStore;
  /** Came, or is coming, from another node. */
  readonly #foreign = new Set<ContextId>();
  /** Peers that have a record of this node. */
  readonly #peersWith = new Map<ContextId, number>();
  readonly #waiting = new Map<ContextId, Set<() => void>>();

  constructor(environment: Environment, arbitration: TurnArbitration) {
    this.sharing = {
      arbitration,
      status: () => ({ peers: [] }) as unknown as ReplicationStatus,
      onlyHere: notAsked,
      refresh: notAsked,
      awaitReplicated: (...args) => this.#awaitReplicated(...args),
    };
    this.#environment = environment;
    this.#inner = memoryStore({}, environment);
  }

  async append(sealed: SealedRecord, options?: AppendOptions): Promise<void> {
    await this.#inner.append(sealed, options);
    this.held.set(sealed.hash, sealed);
    this.onWritten(sealed);
  }

  /** A record comes in from another node. */
  async receive(sealed: SealedRecord): Promise<void> {
    if (this.held.has(sealed.hash)) return;
    this.#foreign.add(sealed.hash);
    try {
      await this.#inner.append(sealed);
    } catch (error) {
      if (error instanceof DiscedgeError && error.code === 'session_deleted') return;
      throw error;
    }
    this.held.set(sealed.hash, sealed);
  }

  /** One more peer has a record of this node. */
  acknowledge(hash: ContextId): void {
    this.#peersWith.set(hash, (this.#peersWith.get(hash) ?? 0) + 1);
    for (const wake of this.#waiting.get(hash) ?? []) wake();
  }

  async #awaitReplicated(hash: ContextId, waitMs: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    if (!this.#peersWith.has(hash)) {
      const waiting = this.#waiting.get(hash) ?? new Set();
      this.#waiting.set(hash, waiting);
      await new Promise<void>((resolve) => {
        const cancel = this.#environment.clock.after(waitMs, wake);
        signal.addEventListener('abort', wake, { once: true });
        waiting.add(wake);
        function wake() {
          cancel();
          waiting.delete(wake);
          resolve();
        }
      });
    }
    signal.throwIfAborted();
    return this.#peersWith.get(hash) ?? 0;
  }

  onRecord(listener: RecordListener): () => void {
    return this.#inner.onRecord((sealed) => listener(sealed, this.#foreign.has(sealed.hash) ? 'elsewhere' : 'here'));
  }

  onRemoved(listener: RemovalListener): () => void {
    return this.#inner.onRemoved(listener);
  }

  read(key: SessionKey) {
    return this.#inner.read(key);
  }

  list(query: SessionQuery) {
    return this.#inner.list(query);
  }

  keys(query: SessionQuery) {
    return this.#inner.keys(query);
  }

  expire(nowMs: number, only?: SessionKey) {
    return this.#inner.expire(nowMs, only);
  }

  get erasures() {
    return this.#inner.erasures;
  }

  erase(...args: Parameters<ContextStore['erase']>) {
    return this.#inner.erase(...args);
  }

  wipeErased(...args: Parameters<ContextStore['wipeErased']>) {
    return this.#inner.wipeErased(...args);
  }

  status() {
    return this.#inner.status();
  }

  close() {
    return this.#inner.close();
  }
}

function notAsked(): never {
  throw new TypeError('nobody asks in a simulation');
}
