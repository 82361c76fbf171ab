import type { ContextStore } from '../context-store/context-store.ts';
import { type KeygroupId, type SessionKey, sessionKeyText, type UserId } from '../domain/identifiers.ts';
import { summaryPlaceOf } from '../domain/record/summary.ts';
import { sessionKeyOf } from '../domain/record/turn-record.ts';
import type { NodeTime } from '../domain/time/node-time.ts';
import type { Environment } from '../environment/environment.ts';
import type { Embedder } from '../llm-service/llm-service.ts';
import { Arbitration } from './arbitration/arbitration.ts';
import { NodeArbiter } from './arbitration/node-arbiter.ts';
import { TurnGrants } from './arbitration/turn-grants.ts';
import { ClusterDocuments } from './documents/cluster-documents.ts';
import { ownStamps, type StampOf } from './layers/layer.ts';
import { UserPreferences } from './layers/user-preferences.ts';
import type { NodeOptions } from './node-options.ts';
import { Arrivals } from './sessions/arrivals.ts';
import { deleted } from './sessions/seen-session.ts';
import { SessionRecords } from './sessions/session-records.ts';
import { SessionStates } from './sessions/session-states.ts';
import { UserQuotas } from './sessions/user-quotas.ts';
import { UserUsage } from './sessions/user-usage.ts';
import { eventPolicy, fixedPolicy, type LookAgainPolicy, ReplicaWait } from './turn/replica-wait.ts';
import { RunningTurns } from './turn/running-turns.ts';
import { SessionQueue } from './turn/session-queue.ts';
import { TurnMetrics } from './turn/turn-metrics.ts';
import { WriteConcerns } from './turn/write-concerns.ts';
import { Erasures } from './users/erasures.ts';
import { UserImports } from './users/user-imports.ts';
import { UserLifetimes } from './users/user-lifetimes.ts';
import type { LearnedMovement } from './warmer/learned-movement.ts';

export interface NodeResourcesParts {
  readonly store: ContextStore;
  /** Its time of day is `time`'s. */
  readonly environment: Environment;
  readonly time: NodeTime;
  readonly options: NodeOptions;
  /** The node has run before, with what is in its store. */
  readonly isRestart?: boolean;
  /** Tells texts of layers apart, at all nodes of a cluster alike; left out: at this one, until it ends. */
  readonly stampOf?: StampOf;
  /** What an earlier process learned of where turns are taken; left out: nothing. */
  readonly movementBefore?: ReadonlyMap<KeygroupId, LearnedMovement>;
  /** Drops the KV state of a session; left out: there is none. */
  readonly forgetState?: (key: SessionKey) => void;
  /** Drops the KV state of a user's sessions, and resolves once there is none; left out: there is none. */
  readonly forgetStates?: (userId: UserId) => Promise<void>;
  /** Makes vectors of turns that are searched; left out: they are searched by words. */
  readonly embedder?: Embedder | undefined;
}

/**
 * What the Context Managers of one node share, whatever model each of them serves: the records, the limits on turns in
 * flight and in line, the metrics. Held once, so that a limit is the node's and not each model's.
 */
export class NodeResources {
  readonly records: SessionRecords;
  readonly environment: Environment;
  readonly time: NodeTime;
  readonly options: NodeOptions;
  readonly queue: SessionQueue;
  readonly running: RunningTurns;
  readonly replica: ReplicaWait;
  readonly arbitration: Arbitration;
  readonly metrics: TurnMetrics;
  readonly writeConcerns: WriteConcerns;
  readonly quotas: UserQuotas;
  /** `undefined` where there is no KV state to forget. */
  readonly states: SessionStates | undefined;
  /** Of all models. */
  readonly keygroups = new Set<KeygroupId>();
  readonly documents: ClusterDocuments;
  readonly erasures: Erasures;
  readonly preferences: UserPreferences;
  readonly userLifetimes: UserLifetimes;
  readonly userImports: UserImports;
  readonly movementBefore: ReadonlyMap<KeygroupId, LearnedMovement>;
  readonly embedder: Embedder | undefined;
  readonly #endGate: () => void;
  readonly #closers: Array<() => void> = [];

  constructor({ store, environment, time, options, isRestart = false, stampOf, ...parts }: NodeResourcesParts) {
    const { clock } = environment;
    this.movementBefore = parts.movementBefore ?? new Map();
    this.environment = environment;
    this.time = time;
    this.options = options;
    this.embedder = parts.embedder;
    this.queue = new SessionQueue(options.sessionQueueMax);
    this.running = new RunningTurns(clock, options);
    this.records = new SessionRecords({ store, time, cacheBytesMax: options.contextCacheBytes });
    this.quotas = new UserQuotas(new UserUsage(this.records, () => this.keygroups));
    const { records, running } = this;
    this.documents = new ClusterDocuments({ records, options, environment });
    const { forgetStates = async () => {} } = parts;
    this.erasures = new Erasures({ records, running, documents: this.documents, forgetStates, options, environment });
    const kept = { documents: this.documents, documentMs: options.ttlSecondsMax * 1000 };
    this.userLifetimes = new UserLifetimes({ ...kept, environment });
    this.preferences = new UserPreferences({
      ...kept,
      stampOf: stampOf ?? ownStamps(environment.random),
      ...{ clock, logger: environment.logger },
    });
    const { erasures, preferences, userLifetimes } = this;
    this.userImports = new UserImports({ records, erasures, preferences, userLifetimes });
    this.writeConcerns = new WriteConcerns(store.sharing, options, environment);
    this.metrics = new TurnMetrics(
      environment.metrics,
      {
        inFlight: () => this.running.size,
        busySessions: () => this.queue.busySessions,
        cacheBytes: () => this.records.cacheBytes,
      },
      () => clock.monotonic(),
    );
    this.records.onRecord((_, from) => this.metrics.recordStored(from));
    this.running.onGaveWay(() => this.metrics.turnGaveWay());
    // At whichever node it was deleted: nothing that is under way for it would be stored.
    this.records.onRecord(({ record }) => {
      if (record.kind === 'tombstone') running.stop(sessionKeyText(sessionKeyOf(record)), deleted());
    });
    const { forgetState: forget } = parts;
    this.states = forget && new SessionStates({ records, running, clock, forget });
    const arrivals = new Arrivals(clock);
    this.#endGate = this.records.onRecord(({ record }, from) => {
      if (from === 'elsewhere') arrivals.announce(sessionKeyText(sessionKeyOf(record)));
    });
    const policy = store.sharing && this.#gatePolicy(arrivals);
    this.replica = new ReplicaWait({ clock, records: this.records, policy });
    this.arbitration = this.#startArbitration(arrivals, isRestart);
  }

  /** Turns of all models, waiting ones included. */
  get turnsInFlight(): number {
    return this.running.size;
  }

  /** Whether new turns are refused because the node is stopping. */
  get closing(): boolean {
    return this.running.closing;
  }

  /** Called once the node begins to close, before its turns end. */
  onClosing(listener: () => void): void {
    this.#closers.push(listener);
  }

  /** Refuses new turns, lets running ones finish within `graceMs`, then stops them. */
  async close(graceMs: number): Promise<void> {
    for (const closing of this.#closers.splice(0)) closing();
    await this.running.drain(graceMs);
    await this.states?.close();
    this.erasures.close();
    this.#endGate();
  }

  #startArbitration(arrivals: Arrivals, isRestart: boolean): Arbitration {
    const { records } = this;
    const { nodeId, arbiterWaitMs: patienceMs } = this.options;
    const { clock } = this.environment;
    const others = records.sharing?.arbitration;
    const grants = new TurnGrants(clock, { isRestart });
    if (others !== undefined) {
      records.onRecord(({ record }) => {
        if (record.kind === 'turn' && summaryPlaceOf(record) === undefined)
          grants.settle(sessionKeyOf(record), record.parent);
      });
      others.serve(new NodeArbiter({ records, grants }));
    }
    return new Arbitration({ nodeId, others, records, grants, arrivals, clock, patienceMs });
  }

  #gatePolicy(arrivals: Arrivals): LookAgainPolicy {
    const { turnGate, turnGateRetriesMax: retriesMax, turnGateBackoffMs: backoffMs } = this.options;
    if (turnGate === 'event') return eventPolicy(arrivals);
    return fixedPolicy({ clock: this.environment.clock, records: this.records }, { retriesMax, backoffMs });
  }
}
