// Tries to make the default of an embedded model take more memory than there is, or less of a window than it could, and to
// change what was asked for. Shapes are real, their memory is what llama.cpp plans; how much there is is made up.
import { beforeAll, describe, expect, test } from 'vitest';
import { availableMemoryBytes } from '../../../src/edge-node/models/available-memory.ts';
import { chooseWindow } from '../../../src/llm-service/embedded/choose-window.ts';
import type { MemoryPlan } from '../../../src/llm-service/embedded/memory-need.ts';
import { GIB, plannedShapes } from '../../support/memory-document.ts';

let plans: ReadonlyMap<string, MemoryPlan>;
beforeAll(async () => {
  plans = await plannedShapes();
}, 60_000);

const choose = (shape: string, gib: number, asked: { contextTokens?: number; parallel?: number } = {}) =>
  chooseWindow(
    { contextTokens: asked.contextTokens, parallel: asked.parallel },
    { plan: plans.get(shape) as MemoryPlan, availableBytes: gib * GIB },
  );

describe('the window of an embedded model', () => {
  test('is planned as llama.cpp takes it: 12 GB for a small model with a long window', async () => {
    const bytes = await plans.get('0.3B')?.neededBytes({ contextTokens: 131_072, parallel: 4 });
    expect(bytes).toBeGreaterThan(11.5e9);
    expect(bytes).toBeLessThan(13e9);
  });

  test('a board with 4 GB, 3 of them left, starts with a 1B model and room for a conversation', async () => {
    const chosen = await choose('1B', 3);
    expect(chosen).toMatchObject({ fits: true });
    expect(chosen.contextTokens).toBeGreaterThanOrEqual(8192);
  });

  test('never needs more than three quarters of what there is, and twice as much would not fit', async () => {
    for (const shape of plans.keys()) {
      for (const gib of [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128]) {
        const chosen = await choose(shape, gib);
        if (!chosen.fits) continue;
        expect(chosen.neededBytes).toBeLessThanOrEqual(0.75 * gib * GIB);
        if (chosen.contextTokens === 131_072 && chosen.parallel === 4) continue;
        const plan = plans.get(shape) as MemoryPlan;
        const longer = { contextTokens: chosen.contextTokens * 2, parallel: chosen.parallel };
        if (longer.contextTokens <= 131_072) expect(await plan.neededBytes(longer)).toBeGreaterThan(0.75 * gib * GIB);
      }
    }
  });

  test('more memory never gives less', async () => {
    for (const shape of plans.keys()) {
      let before = 0;
      for (const gib of [1, 2, 4, 8, 16, 32, 64, 128, 256]) {
        const { contextTokens, parallel } = await choose(shape, gib);
        expect(contextTokens * parallel).toBeGreaterThanOrEqual(before);
        before = contextTokens * parallel;
      }
    }
  });

  test('what is asked for stays, and the rest is fitted around it', async () => {
    expect(await choose('8B', 4, { contextTokens: 131_072, parallel: 8 })).toMatchObject({
      ...{ contextTokens: 131_072, parallel: 8, fits: false },
    });
    expect(await choose('1B', 8, { parallel: 1 })).toMatchObject({ parallel: 1, fits: true });
    const long = await choose('1B', 8, { contextTokens: 65_536 });
    expect(long).toMatchObject({ contextTokens: 65_536, fits: true });
    expect(long.parallel).toBeLessThan(4);
    expect(await choose('1B', 64, { contextTokens: 1_000_000 })).toMatchObject({ contextTokens: 131_072 });
  });

  test('where nothing fits, the least is left to be tried', async () => {
    expect(await choose('8B', 2)).toMatchObject({ contextTokens: 2048, parallel: 1, fits: false });
  });
});

test('the limit of a container counts, and what the machine has left', () => {
  expect(availableMemoryBytes({ free: 16 * GIB, withinLimit: 2 * GIB })).toBe(2 * GIB);
  expect(availableMemoryBytes({ free: GIB, withinLimit: 2 * GIB })).toBe(GIB);
  expect(availableMemoryBytes()).toBeGreaterThan(0);
});
