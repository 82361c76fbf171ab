// Plays bench:roaming on a small scale, with real nodes: that all of its clients' turns are taken and told apart, and that what nodes
// evaluate ahead is what handovers find. Times are not looked at.
import { expect, test } from 'vitest';
import { measureRoaming } from '../../benchmarks/support/roaming/measure-roaming.ts';
import type { RoamingPolicy, RoamingWorkload } from '../../benchmarks/support/roaming/roaming-workload.ts';

const CLIENTS = 2;
const TURNS = 4;
const WORKLOAD: RoamingWorkload = {
  ...{ movement: 'predictable', clients: CLIENTS, sessions: 1, seed: 1 },
  turns: [TURNS, TURNS],
  openingIds: [300, 400],
  thinkMs: [1_500, 2_000],
};

const play = (policy: RoamingPolicy) => measureRoaming(WORKLOAD, policy, { roomSessions: 3 });

test('clients take the same ways under all policies; one that says where it goes finds what was evaluated for it', async () => {
  const hinted = await play('hinted');
  const clientSide = await play('client-side');
  for (const row of [hinted, clientSide]) {
    expect(row.handovers + row.stayed + row.opened).toBe(CLIENTS * TURNS);
    expect(row.opened).toBe(CLIENTS);
  }
  expect([hinted.handovers, hinted.stayed]).toEqual([clientSide.handovers, clientSide.stayed]);
  expect(clientSide.warmedIds).toBe(0);
  expect(hinted.warmedIds).toBeGreaterThan(0);
  expect(hinted.inVain).toBeLessThan(1);
  expect(hinted.evaluatedIds).toBeLessThan(clientSide.evaluatedIds);
}, 400_000);
