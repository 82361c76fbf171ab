// What bench:roaming makes of the turns that clients took: which handovers count as warm, and which ids as evaluated in vain.
import { expect, it } from 'vitest';
import { roamingRow } from '../../benchmarks/support/roaming/roaming-row.ts';
import type { TakenTurn } from '../../benchmarks/support/roaming/roaming-workload.ts';

const turn = (kind: TakenTurn['kind'], firstTextMs: number, contextIds = 0, cachedIds = 0): TakenTurn => ({
  ...{ kind, firstTextMs, contextIds, cachedIds },
  evaluatedIds: contextIds - Math.min(contextIds, cachedIds) + 20,
});

it('counts a handover as warm where all of its context was there, but for the last id of the reply', () => {
  const { handovers, warm, found } = roamingRow(
    [
      turn('moves', 1, 1_000, 1_000),
      turn('moves', 1, 1_000, 999),
      turn('moves', 1, 1_000, 998),
      turn('moves', 1, 1_000),
    ],
    { warmedIds: 0, usedIds: 0 },
  );
  expect({ handovers, warm, found }).toEqual({ handovers: 4, warm: 0.5, found: 0.749 });
});

it('ids of the template that were warmed with a context do not count as found twice', () => {
  const { found } = roamingRow([turn('moves', 1, 100, 105), turn('moves', 1, 100)], { warmedIds: 105, usedIds: 105 });
  expect(found).toBe(0.5);
});

it('keeps apart turns after a move, turns that stay and first turns', () => {
  const taken = [turn('opens', 300), turn('moves', 10), turn('moves', 20), turn('moves', 90), turn('stays', 30)];
  expect(roamingRow(taken, { warmedIds: 0, usedIds: 0 })).toMatchObject({
    ...{ handovers: 3, movedP50Ms: 20, movedMeanMs: 40, movedP99Ms: 90 },
    ...{ stayed: 1, stayedP50Ms: 30, stayedP99Ms: 30, opened: 1, openedP50Ms: 300 },
    ...{ evaluatedIds: 100 },
  });
});

it('what no turn used by the end was evaluated in vain', () => {
  const moved = [turn('moves', 1, 100, 100)];
  expect(roamingRow(moved, { warmedIds: 400, usedIds: 300 })).toMatchObject({ warmedIds: 400, inVain: 0.25 });
  expect(roamingRow(moved, { warmedIds: 0, usedIds: 0 })).toMatchObject({ warmedIds: 0, inVain: 0 });
});
