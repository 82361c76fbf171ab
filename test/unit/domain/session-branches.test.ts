// Lists the branches of random trees of turns: no turn may be missing or listed twice, and whoever follows a branch back
// through the turn it parts from must read exactly the line that the history has.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { branchesOf } from '../../../src/domain/session/session-branches.ts';
import { SessionHistory, type Turn } from '../../../src/domain/session/session-history.ts';
import { sealedTurn } from '../../../tools/turn-records.ts';

const trees = fc.array(fc.nat(), { minLength: 1, maxLength: 25, size: 'max' }).map((picks) => {
  const turns: SealedRecord[] = [];
  for (const [variant, pick] of picks.entries()) {
    const parent = pick % 5 === 0 ? undefined : turns[pick % Math.max(1, turns.length)];
    turns.push(sealedTurn({ parent, variant }));
  }
  return turns;
});

it('every turn is in one branch, and every branch leads back along its line', () => {
  fc.assert(
    fc.property(trees, (records) => {
      const history = new SessionHistory();
      for (const sealed of records) history.add(sealed);
      const branches = branchesOf(history);
      expect(branches.map(({ tip }) => tip)).toEqual(history.tips());
      expect(branches[0]?.turns).toEqual(history.line());
      const listed = branches.flatMap(({ turns }) => turns.map(({ hash }) => hash));
      expect(listed.toSorted()).toEqual(records.map(({ hash }) => hash).toSorted());
      const before = new Map<string, readonly Turn[]>();
      for (const { tip, partsFrom, turns } of branches) {
        const line = [...(partsFrom === undefined ? [] : (before.get(partsFrom.hash) ?? [])), ...turns];
        expect(line).toEqual(history.line(tip));
        for (const [index, { hash }] of line.entries()) before.set(hash, line.slice(0, index + 1));
      }
    }),
  );
});

it('a session without turns has none', () => {
  expect(branchesOf(new SessionHistory())).toEqual([]);
});
