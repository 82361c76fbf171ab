import type { Counter, Histogram, LabelledValue, MetricSpec, Metrics } from './environment.ts';

/** Content type of {@link PrometheusMetrics.text}. */
export const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

type Labels = Readonly<Record<string, string>>;
/** Lines of one metric: what is added to its name, its labels as text, its value. */
type Sample = readonly [suffix: string, labels: string, value: number];

/**
 * Metrics that Prometheus scrapes. A name stands for one metric: a second one of it is a defect and throws, as do a label
 * that the metric has not declared and a counter that would fall.
 */
export class PrometheusMetrics implements Metrics {
  readonly #metrics = new Map<string, { readonly head: string; readonly samples: () => Iterable<Sample> }>();

  counter(spec: MetricSpec): Counter {
    const series = new Map<string, number>(unlabelled(spec, () => 0));
    this.#register(spec, 'counter', function* () {
      for (const [labels, value] of series) yield ['', labels, value];
    });
    return {
      add(amount, labels) {
        if (!(amount >= 0)) throw new Error(`counter ${spec.name} cannot take ${amount}`);
        const key = labelText(spec, labels);
        series.set(key, (series.get(key) ?? 0) + amount);
      },
    };
  }

  histogram(spec: MetricSpec & { readonly buckets: readonly number[] }): Histogram {
    const bounds = [...spec.buckets, Number.POSITIVE_INFINITY];
    const empty = () => ({ counts: bounds.map(() => 0), sum: 0 });
    const series = new Map(unlabelled(spec, empty));
    this.#register(spec, 'histogram', function* () {
      for (const [labels, { counts, sum }] of series) {
        let below = 0;
        for (const [index, bound] of bounds.entries()) {
          below += counts[index] as number;
          yield ['_bucket', withLabel(`le="${numberText(bound)}"`, labels), below];
        }
        yield ['_sum', labels, sum];
        yield ['_count', labels, below];
      }
    });
    return {
      observe(value, labels) {
        const key = labelText(spec, labels);
        const found = series.get(key) ?? empty();
        series.set(key, found);
        const index = bounds.findIndex((bound) => value <= bound);
        found.counts[index] = (found.counts[index] as number) + 1;
        found.sum += value;
      },
    };
  }

  gauge(spec: MetricSpec, read: () => number | readonly LabelledValue[]): void {
    this.#register(spec, 'gauge', function* () {
      const values = read();
      if (typeof values === 'number') yield ['', '', values];
      else for (const { labels, value } of values) yield ['', labelText(spec, labels), value];
    });
  }

  /** All metrics as they are now, in Prometheus' text format. */
  text(): string {
    const metrics = [...this.#metrics].map(([name, { head, samples }]) => {
      const lines = [...samples()].map(([suffix, labels, value]) => `${name}${suffix}${labels} ${numberText(value)}`);
      return `${[head, ...lines].join('\n')}\n`;
    });
    return metrics.join('\n');
  }

  #register({ name, help }: MetricSpec, type: string, samples: () => Iterable<Sample>): void {
    if (this.#metrics.has(name)) throw new Error(`a metric with the name ${name} is there already`);
    this.#metrics.set(name, { head: `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}`, samples });
  }
}

/** A metric without labels is there from the start. */
function unlabelled<T>({ labels = [] }: MetricSpec, value: () => T): [string, T][] {
  return labels.length === 0 ? [['', value()]] : [];
}

function labelText({ name, labels: declared = [] }: MetricSpec, labels: Labels = {}): string {
  let pairs = '';
  for (const label in labels) {
    if (!declared.includes(label)) throw new Error(`metric ${name} has no label ${label}`);
    pairs += `${pairs === '' ? '' : ','}${label}="${escaped(labels[label] as string).replaceAll('"', '\\"')}"`;
  }
  return pairs === '' ? '' : `{${pairs}}`;
}

function withLabel(pair: string, labels: string): string {
  return labels === '' ? `{${pair}}` : `{${pair},${labels.slice(1)}`;
}

function escaped(text: string): string {
  return text.includes('\\') || text.includes('\n') ? text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n') : text;
}

function numberText(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}
