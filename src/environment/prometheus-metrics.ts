import { type Metric, Gauge as PromGauge, type Registry } from 'prom-client';
import type { Counter, Histogram, MetricSpec, Metrics } from './environment.ts';

type Labels = Readonly<Record<string, string>>;

/** One line of a metric's text. */
interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/**
 * Metrics in a registry that makes Prometheus text of them. What is counted is a number here, and is put into Prometheus' form
 * when it is asked for: turns are counted far more often than read.
 */
export function prometheusMetrics(registry: Registry): Metrics {
  return {
    counter(spec) {
      const counter = new PlainCounter(spec);
      register(registry, 'counter', spec, () => counter.samples());
      return counter;
    },
    histogram(spec) {
      const histogram = new PlainHistogram(spec, spec.buckets);
      register(registry, 'histogram', spec, () => histogram.samples());
      return histogram;
    },
    gauge(spec, read) {
      new PromGauge({
        name: spec.name,
        help: spec.help,
        labelNames: [...(spec.labels ?? [])],
        registers: [registry],
        async collect() {
          const values = await read();
          if (typeof values === 'number') return this.set(values);
          this.reset();
          for (const { labels, value } of values) this.set({ ...labels }, value);
        },
      });
    },
  };
}

function register(registry: Registry, type: string, { name, help }: MetricSpec, samples: () => Sample[]): void {
  const metric = { name, help, type, aggregator: 'sum', get: async () => ({ name, help, type, values: samples() }) };
  registry.registerMetric(metric as unknown as Metric);
}

/** Something for each set of label values that has occurred. */
class ByLabels<Value> {
  readonly #names: readonly string[];
  readonly #make: () => Value;
  readonly #values = new Map<string, { readonly labels: Labels; readonly value: Value }>();

  constructor({ labels = [] }: MetricSpec, make: () => Value) {
    this.#names = labels;
    this.#make = make;
    if (labels.length === 0) this.of({});
  }

  /** Throws TypeError for other labels than the metric has. */
  of(labels: Labels): Value {
    let key = '';
    for (const name of this.#names) key += `${labels[name]}\n`;
    const known = this.#values.get(key);
    if (known !== undefined) return known.value;
    const given = Object.keys(labels);
    if (given.length !== this.#names.length || !this.#names.every((name) => given.includes(name)))
      throw new TypeError(`labels ${given.join()} for a metric with ${this.#names.join()}`);
    const value = this.#make();
    this.#values.set(key, { labels: { ...labels }, value });
    return value;
  }

  all(): Iterable<{ readonly labels: Labels; readonly value: Value }> {
    return this.#values.values();
  }
}

class PlainCounter implements Counter {
  readonly #counts: ByLabels<{ count: number }>;

  constructor(spec: MetricSpec) {
    this.#counts = new ByLabels(spec, () => ({ count: 0 }));
  }

  add(amount: number, labels: Labels = NO_LABELS): void {
    if (!(amount >= 0)) throw new RangeError(`a counter does not go down, nor by ${amount}`);
    this.#counts.of(labels).count += amount;
  }

  samples(): Sample[] {
    return [...this.#counts.all()].map(({ labels, value }) => ({ labels, value: value.count }));
  }
}

class PlainHistogram implements Histogram {
  readonly #name: string;
  readonly #buckets: readonly number[];
  /** How many fell into each bucket and into none below it, those above all buckets last. */
  readonly #observed: ByLabels<{ readonly counts: number[]; sum: number }>;

  constructor(spec: MetricSpec, buckets: readonly number[]) {
    this.#name = spec.name;
    this.#buckets = buckets;
    this.#observed = new ByLabels(spec, () => ({ counts: new Array<number>(buckets.length + 1).fill(0), sum: 0 }));
  }

  observe(value: number, labels: Labels = NO_LABELS): void {
    const observed = this.#observed.of(labels);
    let bucket = 0;
    while (bucket < this.#buckets.length && value > (this.#buckets[bucket] as number)) bucket++;
    (observed.counts[bucket] as number)++;
    observed.sum += value;
  }

  samples(): Sample[] {
    return [...this.#observed.all()].flatMap(({ labels, value: { counts, sum } }) => {
      let upTo = 0;
      const cumulative = counts.map((count, bucket): Sample => {
        upTo += count;
        const le = this.#buckets[bucket] ?? '+Inf';
        return { metricName: `${this.#name}_bucket`, labels: { le, ...labels }, value: upTo };
      });
      return [
        ...cumulative,
        { metricName: `${this.#name}_sum`, labels, value: sum },
        { metricName: `${this.#name}_count`, labels, value: upTo },
      ];
    });
  }
}

const NO_LABELS: Labels = {};
