// Clients that roam between simulated nodes, whose policies and queues are a real node's: what share of handovers is warm, and how
// much is warmed in vain. One seed gives one outcome, so what is asserted is the policies' and not chance's.
import { describe, expect, test } from 'vitest';
import type { WarmingPolicyName } from '../../src/domain/warming-policies.ts';
import type { MovementName } from '../../tools/roaming-simulation/movement.ts';
import { ROAMING_WORKLOAD, simulateRoaming } from '../../tools/roaming-simulation/simulation.ts';

const play = (movement: MovementName, policy: WarmingPolicyName, seed = 1) =>
  simulateRoaming({ ...ROAMING_WORKLOAD, movement, policy, seed });
/** A keygroup as on its first day. */
const FEW = { ...ROAMING_WORKLOAD, clients: 4, minutes: 30 } as const;
const SEEDS = [1, 2, 3, 4, 5, 6];

describe.each(['predictable', 'street'] as const)('with movement as of a %s way', (movement) => {
  const predicted = play(movement, 'predicted');

  test('what is predicted is warm nine times of ten, and three of four warmed ids are used', () => {
    expect(predicted.warmShare).toBeGreaterThanOrEqual(0.9);
    expect(predicted.wasteShare).toBeLessThanOrEqual(0.25);
  });

  test('warming all wastes the most and has less warm; without warming nothing is', () => {
    const all = play(movement, 'all');
    expect(all.wasteShare).toBeGreaterThan(2 * predicted.wasteShare);
    expect(all.warmShare).toBeLessThan(predicted.warmShare);
    const off = play(movement, 'off');
    expect([off.warmShare, off.warmedIds]).toEqual([0, 0]);
    expect(predicted.firstTokenMs.p50).toBeLessThan(off.firstTokenMs.p50 / 10);
  });

  test('a client that says where it goes is as warm', () => {
    expect(play(movement, 'hinted').warmShare).toBeGreaterThanOrEqual(0.9);
  });
});

test('along a street the nearest ahead is mostly where a client goes', () => {
  // Of ten turns one goes back; and where a session begins both ends of the street lie ahead.
  expect(play('street', 'near').warmShare).toBeGreaterThanOrEqual(0.85);
});

test('where clients go anywhere, as likely, little is warmed', () => {
  expect(play('uniform', 'predicted').warmedIds).toBeLessThan(play('uniform', 'all').warmedIds / 50);
  expect(play('uniform-6', 'predicted').warmedIds).toBeLessThan(play('uniform-6', 'all').warmedIds / 200);
});

test('nor is it where clients are few and have just begun', () => {
  const warmedIds = (policy: WarmingPolicyName) =>
    SEEDS.map((seed) => simulateRoaming({ ...FEW, movement: 'uniform', policy, seed }).warmedIds).reduce(
      (sum, ids) => sum + ids,
    );
  expect(warmedIds('predicted')).toBeLessThan(warmedIds('all') / 10);
});

test('where six of ten go to the next node, most of them are expected there', () => {
  const { warmShare, wasteShare } = play('half-predictable', 'predicted');
  expect(warmShare).toBeGreaterThan(0.6);
  expect(wasteShare).toBeLessThan(play('half-predictable', 'all').wasteShare);
});

test('one seed gives one outcome', () => {
  expect(play('predictable', 'predicted', 7)).toEqual(play('predictable', 'predicted', 7));
});
