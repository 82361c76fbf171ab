import type {
  AppendOptions,
  ContextStore,
  RecordListener,
  RemovalListener,
  SessionPage,
  SessionQuery,
  SharedContexts,
  StoredSession,
  StoreStatus,
} from '../../src/context-store/context-store.ts';
import type { ConversationIndex } from '../../src/context-store/conversation-index.ts';
import { memoryStore } from '../../src/context-store/memory.ts';
import { OutcomeUnknown } from '../../src/context-store/outcome-unknown.ts';
import type { PeerStatus, ReplicationStatus } from '../../src/context-store/replication-status.ts';
import { StoreListeners } from '../../src/context-store/store-listeners.ts';
import { DiscedgeError } from '../../src/domain/errors.ts';
import { type ContextId, type SessionKey, sessionKeyText } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { sessionKeyOf } from '../../src/domain/record/turn-record.ts';
import type { Environment } from '../../src/environment/environment.ts';
import { abortable } from '../../src/waiting/abortable.ts';
import { within } from '../../src/waiting/within.ts';
import { Hold } from './hold.ts';

type Step = () => Promise<void>;

/**
 * The memory store, watched, and told to be slow or to fail one call at a time. Tells of a record as late as a store may,
 * and never of one whose append failed after it was stored.
 */
export class ProbedStore implements ContextStore {
  /** Every record whose append resolved, in order. */
  readonly appended: SealedRecord[] = [];
  /** Damaged records that `read` reports from now on. */
  corrupt = 0;
  /** Turns whose records `read` finds damaged from now on. */
  readonly damagedTurns = new Set<number>();
  reads = 0;
  /** Who is told of records. */
  watchers = 0;
  readonly sharing: SharedContexts | undefined = undefined;
  /** Records that come from another node. */
  protected readonly arriving = new Set<ContextId>();
  readonly #inner: ContextStore;
  readonly #listeners: StoreListeners;
  readonly #untold = new Set<ContextId>();
  readonly #hangs: Promise<void>[] = [];
  readonly #steps = { append: [] as Step[], appended: [] as Step[], read: [] as Step[], answer: [] as Step[] };

  constructor(environment: Environment, inner = memoryStore({}, environment)) {
    this.#inner = inner;
    this.#inner.onRecord(({ hash }) => void this.#untold.add(hash));
    this.#listeners = new StoreListeners(environment.logger);
  }

  get conversations() {
    return this.#inner.conversations as ConversationIndex;
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

  /** The next `append` is given up while the disk still works on it; returns what ends that. */
  hangNext(): { storeIt(): void; refuseIt(): void } {
    let [storeIt, refuseIt] = [() => {}, () => {}];
    const ended = new Promise<void>((resolve, reject) => {
      storeIt = resolve;
      refuseIt = () => reject(new DiscedgeError('store_unavailable', 'the disk is gone'));
    });
    this.#hangs.push(ended);
    return { storeIt: () => storeIt(), refuseIt: () => refuseIt() };
  }

  async append(sealed: SealedRecord, options?: AppendOptions): Promise<void> {
    const hang = this.#hangs.shift();
    if (hang !== undefined) {
      const ended = hang.then(() => this.append(sealed, options));
      throw new OutcomeUnknown('the disk has not finished a write', ended);
    }
    await this.#steps.append.shift()?.();
    await this.#inner.append(sealed, options);
    await this.#steps.appended.shift()?.();
    this.appended.push(sealed);
    if (!this.#untold.delete(sealed.hash)) return;
    this.#listeners.tell(sealed, this.arriving.has(sealed.hash) ? 'elsewhere' : 'here');
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

  list(query: SessionQuery): Promise<SessionPage> {
    return this.#inner.list(query);
  }

  keys(query: SessionQuery) {
    return this.#inner.keys(query);
  }

  expire(nowMs: number, only?: SessionKey): Promise<number> {
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

  status(): Promise<StoreStatus> {
    return this.#inner.status();
  }

  onRecord(listener: RecordListener): () => void {
    this.watchers++;
    const end = this.#listeners.onRecord(listener);
    return () => {
      this.watchers--;
      end();
    };
  }

  onRemoved(listener: RemovalListener): () => void {
    return this.#inner.onRemoved(listener);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** The same with other nodes behind it: the test says what arrives from them. They acknowledge nothing. */
export class ProbedReplica extends ProbedStore {
  /** As the node knows them. */
  peers: readonly Pick<PeerStatus, 'nodeId' | 'state' | 'node'>[] = [];
  override readonly sharing: SharedContexts = {
    status: () => ({ node: { location: undefined }, peers: this.peers }) as unknown as ReplicationStatus,
    onlyHere: async () => [],
    refresh: async () => {},
    awaitReplicated: (_hash, waitMs, signal) => this.awaitReplicated(waitMs, signal),
  };

  /** A record of another node becomes durable here. */
  async arrive(sealed: SealedRecord): Promise<void> {
    this.arriving.add(sealed.hash);
    await super.append(sealed);
  }

  protected async awaitReplicated(_waitMs: number, _signal: AbortSignal): Promise<number> {
    return 0;
  }
}

/** The same with peers that acknowledge when the test says so: each record, from then on. */
export class ProbedSharingStore extends ProbedReplica {
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

  protected override async awaitReplicated(waitMs: number, signal: AbortSignal): Promise<number> {
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
}

/** The same with peers that hold what the test says, and hand it out when they are asked for the session. */
export class ProbedFetchingStore extends ProbedReplica {
  /** What peers hold; the store of this node lacks it until it is fetched. */
  readonly elsewhere: SealedRecord[] = [];
  /** Sessions asked for, in order. */
  readonly fetches: SessionKey[] = [];
  readonly #held: Hold[] = [];
  override readonly sharing: SharedContexts = {
    status: () => ({ node: { location: undefined }, peers: this.peers }) as unknown as ReplicationStatus,
    awaitReplicated: async () => 0,
    onlyHere: async () => [],
    refresh: async () => {},
    fetch: (key, wait) => this.#fetch(key, wait),
    fetching: () => this.#underWay,
  };
  #underWay: Promise<unknown> | undefined;
  readonly #clock: Environment['clock'];

  constructor(environment: Environment) {
    super(environment);
    this.#clock = environment.clock;
  }

  /** The next fetch stays before it brings anything, until released. */
  holdFetch(): Hold {
    const hold = new Hold();
    this.#held.push(hold);
    return hold;
  }

  #fetch(key: SessionKey, { waitMs, signal }: { waitMs: number; signal: AbortSignal }): Promise<number> {
    signal.throwIfAborted();
    this.fetches.push(key);
    const bringing = this.#bring(key);
    const under = bringing
      .catch(() => {})
      .finally(() => {
        if (this.#underWay === under) this.#underWay = undefined;
      });
    this.#underWay = under;
    return within({ clock: this.#clock, waitMs }, abortable(bringing, signal), () => 0);
  }

  async #bring(key: SessionKey): Promise<number> {
    await this.#held.shift()?.pass();
    const wanted = this.elsewhere.filter(({ record }) => sessionKeyText(sessionKeyOf(record)) === sessionKeyText(key));
    for (const sealed of wanted) await this.arrive(sealed);
    return wanted.length;
  }
}
