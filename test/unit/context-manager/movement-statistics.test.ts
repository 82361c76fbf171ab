// What is learned of where turns are taken: tries to have chance taken for a habit, in keygroups and clusters that have seen little above
// all, have a habit learned late for it, and have what is said of nodes be no chances. Walks are drawn from seeds, so what is asserted
// of them is so on every run.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MovementStatistics } from '../../../src/context-manager/warmer/movement-statistics.ts';
import type { Visit } from '../../../src/context-manager/warmer/warming-policy.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { Chance } from '../../../tools/chance.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const LEAST_CHANCE = 0.4;
const SEEDS = Array.from({ length: 40 }, (_, seed) => seed + 1);
const visit = (node: number, atMs: number): Visit => ({ node: `e${node}` as NodeId, atMs });

/** Of the nodes where a session was not, those where it is expected; of its moves, those to one of them. */
interface Foretold {
  readonly expected: number;
  readonly found: number;
}

/** One client after another goes from node to node, twelve turns each; what is foretold of turns `from` up to `to`. */
function walked(
  nodes: number,
  next: (node: number, chance: Chance) => number,
  [from, to]: readonly [number, number],
): Foretold {
  let [asked, expected, moves, found] = [0, 0, 0, 0];
  for (const seed of SEEDS) {
    const chance = new Chance(seed);
    const movement = new MovementStatistics();
    let visits: Visit[] = [];
    for (let turn = 0; turn < to; turn++) {
      if (turn % 12 === 0) visits = [visit(chance.below(nodes), turn * MINUTE)];
      const here = Number(visits.at(-1)?.node.slice(1));
      const goes = next(here, chance);
      const at = (node: number) => visit(node, turn * MINUTE);
      const others = Array.from({ length: nodes }, (_, node) => node).filter((node) => node !== here);
      const warm = others.filter((node) => movement.chanceOf(at(node), visits, 1 / nodes) >= LEAST_CHANCE);
      if (turn >= from) {
        asked += others.length;
        expected += warm.length;
        if (goes !== here) moves++;
        if (warm.includes(goes)) found++;
      }
      movement.learn(visits, at(goes), 1 / nodes);
      visits = [...visits, at(goes)].slice(-3);
    }
  }
  return { expected: expected / asked, found: found / moves };
}

const anywhere = (nodes: number) => (_: number, chance: Chance) => chance.below(nodes);
const mostlyOnwards = (nodes: number) => (node: number, chance: Chance) =>
  chance.below(10) < 9 ? (node + 1) % nodes : chance.below(nodes);

describe('where clients go anywhere, as likely', () => {
  test.each([3, 4, 6])('of %i nodes few are expected from the first turns on, and soon none', (nodes) => {
    expect(walked(nodes, anywhere(nodes), [0, 30]).expected).toBeLessThan(0.1);
    expect(walked(nodes, anywhere(nodes), [30, 100]).expected).toBeLessThan(0.03);
    expect(walked(nodes, anywhere(nodes), [100, 300]).expected).toBeLessThan(0.005);
  });

  test('of two nodes both are', () => {
    expect(walked(2, anywhere(2), [0, 300]).expected).toBeGreaterThan(0.9);
  });
});

test.each([3, 6])('where nine of ten go on to the next of %i nodes, that is learned in some turns', (nodes) => {
  expect(walked(nodes, mostlyOnwards(nodes), [0, 10 * nodes]).found).toBeGreaterThan(0.75);
  expect(walked(nodes, mostlyOnwards(nodes), [10 * nodes, 100]).found).toBeGreaterThan(0.9);
});

describe('one turn', () => {
  const [before, to] = [[visit(4, 0)], visit(5, MINUTE)];
  const chanceAfterOne = (movement: MovementStatistics) => {
    movement.learn(before, to, 1 / 6);
    return movement.chanceOf(to, before, 1 / 6);
  };

  test('is believed where movement has been seen to have habits, and not where it has none', () => {
    const [habits, none] = [new MovementStatistics(), new MovementStatistics()];
    for (let turn = 0; turn < 60; turn++) {
      habits.learn([visit(turn % 3, 0)], visit((turn + 1) % 3, MINUTE), 1 / 6);
      none.learn([visit(turn % 3, 0)], visit(Math.floor(turn / 3) % 6, MINUTE), 1 / 6);
    }
    expect(chanceAfterOne(habits)).toBeGreaterThan(0.6);
    expect(chanceAfterOne(none)).toBeLessThan(0.2);
  });
});

describe('whatever was seen', () => {
  const walk = fc.array(fc.tuple(fc.nat(4), fc.integer({ min: 1, max: 20 })), { maxLength: 120 });
  const learnedFrom = (steps: ReadonlyArray<readonly [number, number]>, nodes: number) => {
    const movement = new MovementStatistics();
    let visits: readonly Visit[] = [];
    let atMs = 0;
    for (const [node, hours] of steps) {
      atMs += hours * HOUR;
      const to = visit(node, atMs);
      if (visits.length > 0) movement.learn(visits, to, 1 / nodes);
      visits = [...visits, to].slice(-3);
    }
    return { movement, visits, atMs };
  };

  test('the chances of the nodes in view are 1 together at most, and where all are in view, 1', () => {
    fc.assert(
      fc.property(walk, fc.integer({ min: 1, max: 5 }), (steps, nodes) => {
        const { movement, visits, atMs } = learnedFrom(steps, nodes);
        const chances = Array.from({ length: nodes }, (_, node) =>
          movement.chanceOf(visit(node, atMs), visits, 1 / nodes),
        );
        const all = chances.reduce((sum, chance) => sum + chance, 0);
        expect(Math.min(...chances)).toBeGreaterThan(0);
        expect(all).toBeLessThanOrEqual(1 + 1e-9);
        if (nodes === 5) expect(all).toBeGreaterThanOrEqual(1 - 1e-9);
      }),
    );
  });

  test('one more turn to a node never lowers its chance after the same', () => {
    fc.assert(
      fc.property(walk, fc.nat(4), (steps, node) => {
        const { movement, visits, atMs } = learnedFrom(steps, 5);
        const to = visit(node, atMs);
        const before = movement.chanceOf(to, visits, 1 / 5);
        movement.learn(visits, to, 1 / 5);
        expect(movement.chanceOf(to, visits, 1 / 5)).toBeGreaterThanOrEqual(before - 1e-12);
      }),
    );
  });

  test('what is kept of it says the same of all nodes', () => {
    fc.assert(
      fc.property(walk, (steps) => {
        const { movement, visits, atMs } = learnedFrom(steps, 5);
        const after = new MovementStatistics(JSON.parse(JSON.stringify(movement.learned)));
        for (let node = 0; node < 5; node++) {
          const to = visit(node, atMs);
          expect(after.chanceOf(to, visits, 1 / 5)).toBe(movement.chanceOf(to, visits, 1 / 5));
        }
      }),
    );
  });
});
