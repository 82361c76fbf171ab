// What bench:foreground makes of the turns of clients that stay: with warming beside them, without, and the one against the other.
import { expect, it } from 'vitest';
import { foregroundRows } from '../../benchmarks/support/foreground/foreground-rows.ts';

it('holds slices with warming against those without', () => {
  const turns = (slice: 'on' | 'off', times: readonly number[]) =>
    times.map((firstTextMs) => ({
      slice,
      firstTextMs,
      wholeMs: firstTextMs + 100,
      idMs: firstTextMs / 10,
      evaluatedIds: 20,
    }));
  const { rows, ratios } = foregroundRows([...turns('on', [10, 20, 60]), ...turns('off', [10, 20, 30])]);
  expect(rows).toMatchObject([
    {
      warming: 'off',
      turns: 3,
      firstP50Ms: 20,
      firstMeanMs: 20,
      firstP99Ms: 30,
      wholeP99Ms: 130,
      idP50Ms: 2,
      idP99Ms: 3,
    },
    {
      warming: 'on',
      turns: 3,
      firstP50Ms: 20,
      firstMeanMs: 30,
      firstP99Ms: 60,
      wholeP99Ms: 160,
      idP50Ms: 2,
      idP99Ms: 6,
    },
  ]);
  expect(ratios).toEqual({
    ...{ firstP50Ms: 1, firstMeanMs: 1.5, firstP99Ms: 2, wholeP50Ms: 1, wholeP99Ms: 1.231 },
    ...{ idP50Ms: 1, idP99Ms: 2 },
  });
});
