// The text that Prometheus scrapes, compared with what its own client for Node.js would write.
import fc from 'fast-check';
import * as reference from 'prom-client';
import { describe, expect, it } from 'vitest';
import type { MetricSpec } from '../../src/environment/environment.ts';
import { PROMETHEUS_TEXT, PrometheusMetrics } from '../../src/environment/prometheus.ts';

const BUCKETS = [0.005, 1, 10];
const PLAIN: MetricSpec = { name: 'plain', help: 'A \\ and "more",\nin two lines' };
const LABELLED: MetricSpec = { name: 'labelled', help: 'x', labels: ['one', 'two'] };
const named = (prefix: string, spec: MetricSpec) => ({ ...spec, name: `${prefix}_${spec.name}` });

const operation = fc.record({
  kind: fc.constantFrom('counter', 'histogram', 'gauge'),
  labels: fc.option(fc.record({ one: fc.string({ unit: 'binary' }), two: fc.constantFrom('a', 'b\n"\\') }), {
    nil: undefined,
  }),
  value: fc.double({ min: 0, max: 20, noNaN: true }),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function ours(operations: readonly Operation[]): string {
  const metrics = new PrometheusMetrics();
  const counters = [PLAIN, LABELLED].map((spec) => metrics.counter(named('counter', spec)));
  const histograms = [PLAIN, LABELLED].map((spec) =>
    metrics.histogram({ ...named('histogram', spec), buckets: BUCKETS }),
  );
  const gauges = operations.filter(({ kind }) => kind === 'gauge');
  metrics.gauge(named('gauge', PLAIN), () => gauges.findLast(({ labels }) => labels === undefined)?.value ?? 0);
  metrics.gauge(named('gauge', LABELLED), () => lastOfEach(gauges));
  for (const { kind, labels, value } of operations) {
    if (kind === 'counter') counters[labels === undefined ? 0 : 1]?.add(value, labels);
    if (kind === 'histogram') histograms[labels === undefined ? 0 : 1]?.observe(value, labels);
  }
  return metrics.text();
}

async function theirs(operations: readonly Operation[]): Promise<string> {
  const registry = new reference.Registry();
  const given = (prefix: string, { labels = [], ...spec }: MetricSpec) => ({
    ...named(prefix, spec),
    labelNames: [...labels],
    registers: [registry],
  });
  const [counters, histograms, gauges] = [
    [PLAIN, LABELLED].map((spec) => new reference.Counter(given('counter', spec))),
    [PLAIN, LABELLED].map((spec) => new reference.Histogram({ ...given('histogram', spec), buckets: BUCKETS })),
    [PLAIN, LABELLED].map((spec) => new reference.Gauge(given('gauge', spec))),
  ];
  for (const { kind, labels, value } of operations) {
    const of = labels === undefined ? 0 : 1;
    if (kind === 'counter') counters[of]?.inc(labels ?? {}, value);
    if (kind === 'histogram') histograms[of]?.observe(labels ?? {}, value);
    if (kind === 'gauge') gauges[of]?.set(labels ?? {}, value);
  }
  return registry.metrics();
}

/** In the order in which their labels were first seen, as the reference keeps them. */
function lastOfEach(operations: readonly Operation[]) {
  const last = new Map<string, { labels: { one: string; two: string }; value: number }>();
  for (const { labels, value } of operations) if (labels) last.set(JSON.stringify(labels), { labels, value });
  return [...last.values()];
}

describe('metrics for Prometheus', () => {
  it("are written as Prometheus' own client writes them", async () => {
    expect(PROMETHEUS_TEXT).toBe(new reference.Registry().contentType);
    await fc.assert(
      fc.asyncProperty(fc.array(operation), async (operations) => {
        expect(ours(operations)).toBe(await theirs(operations));
      }),
    );
  });

  it('say infinity as Prometheus reads it', () => {
    const metrics = new PrometheusMetrics();
    metrics.gauge(PLAIN, () => Number.POSITIVE_INFINITY);
    expect(metrics.text()).toMatch(/^plain \+Inf$/m);
  });

  it('refuse a name that is taken, a label that was not declared, a counter that falls', () => {
    const metrics = new PrometheusMetrics();
    const counter = metrics.counter(LABELLED);
    expect(() => metrics.gauge(LABELLED, () => 1)).toThrow('labelled is there already');
    expect(() => counter.add(1, { three: 'x' })).toThrow('labelled has no label three');
    expect(() => counter.add(-1)).toThrow('labelled cannot take -1');
  });
});
