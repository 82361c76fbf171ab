import type { Clock } from 'discedge/internal/environment/environment';
import type { SyncMeter, WireReading } from './sync-meter.ts';

/** What the counters said at a moment, in the order of the pairs. */
export interface WireSample {
  readonly atMs: number;
  readonly wires: readonly WireReading[];
}

const SAMPLE_EVERY_MS = 100;
/** More than half a minute of them: what is asked for lies a moment back. */
const SAMPLES_MAX = 512;

/**
 * Looks at the counters while a turn is being answered. A record goes to the other nodes in the last moment of its turn;
 * what nodes say to each other in the seconds before is not the turn's, however long the model takes.
 */
export class WireSamples {
  readonly #meter: SyncMeter;
  readonly #clock: Clock;
  #samples: WireSample[] = [];
  #cancel: () => void = () => {};

  constructor(meter: SyncMeter, clock: Clock) {
    this.#meter = meter;
    this.#clock = clock;
  }

  start(): void {
    this.#samples = [];
    const samples = this.#samples;
    const look = async () => {
      const wires = await this.#meter.wires().catch(() => undefined);
      // Another turn's by now, or nothing to count: whoever needs the counters hears why from them.
      if (wires === undefined || samples !== this.#samples) return;
      samples.push({ atMs: this.#clock.monotonic(), wires });
      if (samples.length > SAMPLES_MAX) samples.shift();
      this.#cancel = this.#clock.after(SAMPLE_EVERY_MS, look);
    };
    this.#cancel = this.#clock.after(SAMPLE_EVERY_MS, look);
  }

  /** The last sample at or before a moment; ends the sampling. */
  stop(beforeMs: number): WireSample | undefined {
    this.#cancel();
    const found = this.#samples.findLast(({ atMs }) => atMs <= beforeMs);
    this.#samples = [];
    return found;
  }
}
