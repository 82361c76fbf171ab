// What is counted here and what prom-client would have counted are one text.
import { Counter, Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { prometheusMetrics } from '../../../src/environment/prometheus-metrics.ts';

const COUNTER = { name: 'c_total', help: 'Counted', labels: ['model', 'outcome'] };
const HISTOGRAM = { name: 'h_seconds', help: 'Taken', labels: ['model'], buckets: [0.1, 0.5, 2] };

test('counters and histograms read as those of prom-client', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const metrics = prometheusMetrics(ours);
  const [counter, plain, histogram] = [
    metrics.counter(COUNTER),
    metrics.counter({ name: 'p_total', help: 'Plain' }),
    metrics.histogram(HISTOGRAM),
  ];
  const expected = {
    counter: new Counter({ ...COUNTER, labelNames: COUNTER.labels, registers: [theirs] }),
    plain: new Counter({ name: 'p_total', help: 'Plain', registers: [theirs] }),
    histogram: new Histogram({ ...HISTOGRAM, labelNames: HISTOGRAM.labels, registers: [theirs] }),
  };
  expect(await ours.metrics()).toBe(await theirs.metrics());
  for (const [model, outcome, amount] of [
    ['m', 'ok', 1],
    ['"n"', 'a\nb', 2.5],
    ['m', 'ok', 3],
    ['m', 'replayed', 0],
  ] as const) {
    counter.add(amount, { model, outcome });
    expected.counter.inc({ model, outcome }, amount);
  }
  plain.add(7);
  expected.plain.inc(7);
  for (const [model, value] of [
    ['m', 0.1],
    ['m', 0.100001],
    ['m', 99],
    ['n', 0],
  ] as const) {
    histogram.observe(value, { model });
    expected.histogram.observe({ model }, value);
  }
  expect(await ours.metrics()).toBe(await theirs.metrics());
});

test('a label that the metric does not have is a defect, and a counter does not go down', () => {
  const counter = prometheusMetrics(new Registry()).counter(COUNTER);
  expect(() => counter.add(1, { model: 'm' })).toThrow(TypeError);
  expect(() => counter.add(1, { model: 'm', outcome: 'ok', session: 's' })).toThrow(TypeError);
  expect(() => counter.add(-1, { model: 'm', outcome: 'ok' })).toThrow(RangeError);
});
