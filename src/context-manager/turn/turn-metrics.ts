import type { RecordSource } from '../../context-store/context-store.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { ContextMode } from '../../domain/record/turn-record.ts';
import type { Counter, Histogram, Metrics } from '../../environment/environment.ts';
import type { GenerationUsage } from '../../llm-service/llm-service.ts';
import type { GatePass } from './turn-gate.ts';

const SECONDS_BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];

/** How an answered turn or forwarded prompt is counted. */
export interface TurnEnding {
  readonly mode: ContextMode;
  readonly replayed: boolean;
}

/** What the Context Manager counts. Labels are closed sets: models, outcome codes and modes, never a user or session. */
export class TurnMetrics {
  readonly #turns: Counter;
  readonly #tokens: Counter;
  readonly #records: Counter;
  readonly #repaired: Counter;
  readonly #gaveWay: Counter;
  readonly #turnSeconds: Histogram;
  readonly #gateSeconds: Histogram;
  readonly #monotonic: () => number;

  constructor(
    metrics: Metrics,
    gauges: { inFlight: () => number; busySessions: () => number; cacheBytes: () => number },
    monotonic: () => number,
  ) {
    this.#monotonic = monotonic;
    this.#turns = metrics.counter({
      name: 'discedge_turns_total',
      help: 'Turns by outcome: ok, replayed or an error code',
      labels: ['model', 'outcome'],
    });
    this.#tokens = metrics.counter({
      name: 'discedge_tokens_total',
      help: 'Token ids: cached and evaluated prompt ids, predicted reply ids; restored and warmed: those of the cached that came back from kept state, and that were evaluated ahead of need',
      labels: ['model', 'kind'],
    });
    this.#records = metrics.counter({
      name: 'discedge_records_total',
      help: 'Records that were new in the context store: written here, or come from elsewhere',
      labels: ['from'],
    });
    this.#repaired = metrics.counter({
      name: 'discedge_repaired_turns_total',
      help: 'Turns that were lost and are stored again as their client told them',
      labels: ['model'],
    });
    this.#gaveWay = metrics.counter({
      name: 'discedge_turns_given_way_total',
      help: 'Turns that were refused while they waited on a full node, for those of others who had fewer in flight',
    });
    this.#turnSeconds = metrics.histogram({
      name: 'discedge_turn_seconds',
      help: 'Whole turn, from admission to the end of its reply',
      labels: ['model', 'mode'],
      buckets: SECONDS_BUCKETS,
    });
    this.#gateSeconds = metrics.histogram({
      name: 'discedge_gate_wait_seconds',
      help: 'Time at the turn gate',
      buckets: SECONDS_BUCKETS,
    });
    metrics.gauge({ name: 'discedge_turns_in_flight', help: 'Turns admitted and not yet answered' }, gauges.inFlight);
    metrics.gauge(
      { name: 'discedge_busy_sessions', help: 'Sessions with a turn running or waiting' },
      gauges.busySessions,
    );
    metrics.gauge(
      { name: 'discedge_context_cache_bytes', help: 'Estimated memory of cached sessions' },
      gauges.cacheBytes,
    );
  }

  /** Times a turn of this model and counts how it ended. */
  async observe<T>(model: string, task: () => Promise<T>, ending: (reply: T) => TurnEnding): Promise<T> {
    const startedMs = this.#monotonic();
    try {
      const reply = await task();
      const { mode, replayed } = ending(reply);
      this.#turns.add(1, { model, outcome: replayed ? 'replayed' : 'ok' });
      this.#turnSeconds.observe((this.#monotonic() - startedMs) / 1000, { model, mode });
      return reply;
    } catch (error) {
      this.#turns.add(1, { model, outcome: error instanceof DiscedgeError ? error.code : 'internal_error' });
      throw error;
    }
  }

  gatePassed({ waitedMs }: GatePass): void {
    this.#gateSeconds.observe(waitedMs / 1000);
  }

  recordStored(from: RecordSource): void {
    this.#records.add(1, { from });
  }

  turnRepaired(model: string): void {
    this.#repaired.add(1, { model });
  }

  turnGaveWay(): void {
    this.#gaveWay.add(1);
  }

  generated(model: string, usage: GenerationUsage): void {
    this.#tokens.add(usage.cachedTokens, { model, kind: 'cached' });
    this.#tokens.add(usage.restoredTokens ?? 0, { model, kind: 'restored' });
    this.#tokens.add(usage.warmedTokens ?? 0, { model, kind: 'warmed' });
    this.#tokens.add(usage.evaluatedTokens, { model, kind: 'evaluated' });
    this.#tokens.add(usage.predictedTokens, { model, kind: 'predicted' });
  }
}
