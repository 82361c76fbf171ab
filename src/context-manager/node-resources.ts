import type { ContextStore } from '../context-store/context-store.ts';
import { EXPIRY_GRACE_MS } from '../domain/expiry.ts';
import { sessionKeyText } from '../domain/identifiers.ts';
import { sessionKeyOf } from '../domain/record/turn-record.ts';
import type { Environment } from '../environment/environment.ts';
import type { NodeOptions } from './node-options.ts';
import { Arrivals } from './sessions/arrivals.ts';
import { RecordWriter } from './sessions/record-writer.ts';
import { SessionCache } from './sessions/session-cache.ts';
import { eventPolicy, fixedPolicy, type LookAgainPolicy, ReplicaWait } from './turn/replica-wait.ts';
import { RunningTurns } from './turn/running-turns.ts';
import { SessionQueue } from './turn/session-queue.ts';
import { TurnMetrics } from './turn/turn-metrics.ts';
import { WriteConcerns } from './turn/write-concerns.ts';

export interface NodeResourcesParts {
  readonly store: ContextStore;
  readonly environment: Environment;
  readonly options: NodeOptions;
}

/**
 * What the Context Managers of one node share, whatever model each of them serves: the replica and its cache, the limits on
 * turns in flight and in line, the metrics. Held once, so that a limit is the node's and not each model's.
 */
export class NodeResources {
  readonly store: ContextStore;
  readonly environment: Environment;
  readonly options: NodeOptions;
  readonly queue: SessionQueue;
  readonly running: RunningTurns;
  readonly cache: SessionCache;
  readonly writer: RecordWriter;
  readonly replica: ReplicaWait;
  readonly metrics: TurnMetrics;
  readonly writeConcerns: WriteConcerns;
  /** How much longer than its records name a session lives here. */
  readonly graceMs: number;
  readonly #endWatch: () => void;

  constructor({ store, environment, options }: NodeResourcesParts) {
    const { clock } = environment;
    this.store = store;
    this.environment = environment;
    this.options = options;
    this.graceMs = store.sharing !== undefined ? EXPIRY_GRACE_MS : 0;
    this.queue = new SessionQueue(options.sessionQueueMax);
    this.running = new RunningTurns(clock, options);
    this.cache = new SessionCache(store, clock, { bytesMax: options.contextCacheBytes, graceMs: this.graceMs });
    this.writer = new RecordWriter({ store, cache: this.cache });
    this.writeConcerns = new WriteConcerns(store.sharing, options, environment);
    this.metrics = new TurnMetrics(
      environment.metrics,
      {
        inFlight: () => this.running.size,
        busySessions: () => this.queue.busySessions,
        cacheBytes: () => this.cache.sizeBytes,
      },
      () => clock.monotonic(),
    );
    const arrivals = store.sharing !== undefined ? new Arrivals(clock) : undefined;
    this.#endWatch = store.onRecord((sealed) => {
      this.cache.add(sealed);
      arrivals?.announce(sessionKeyText(sessionKeyOf(sealed.record)));
    });
    this.replica = new ReplicaWait({ clock, cache: this.cache, policy: arrivals && this.#gatePolicy(arrivals) });
  }

  /** Turns of all models, waiting ones included. */
  get turnsInFlight(): number {
    return this.running.size;
  }

  /** Whether new turns are refused because the node is stopping. */
  get closing(): boolean {
    return this.running.closing;
  }

  /** Refuses new turns, lets running ones finish within `graceMs`, then stops them. */
  async close(graceMs: number): Promise<void> {
    await this.running.drain(graceMs);
    this.#endWatch();
  }

  #gatePolicy(arrivals: Arrivals): LookAgainPolicy {
    const { turnGate, turnGateRetriesMax: retriesMax, turnGateBackoffMs: backoffMs } = this.options;
    if (turnGate === 'event') return eventPolicy(arrivals);
    return fixedPolicy({ clock: this.environment.clock, cache: this.cache }, { retriesMax, backoffMs });
  }
}
