// What is noted as gone at its origin, who has been asked for it, and how much of it is kept.
import { beforeEach, expect, test } from 'vitest';
import { LogGaps } from '../../../src/context-store/replication/pull/log-gaps.ts';
import type { Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';

const log = { origin: 'e1' as NodeId, incarnation: 'deadbeef' as Incarnation, keygroup: KEYGROUP };
const [A, B] = ['a', 'b'] as [NodeId, NodeId];

let gaps: LogGaps;
let noted: number;
beforeEach(() => {
  gaps = new LogGaps();
  noted = 0;
  gaps.onNoted = () => noted++;
});
const open = (nodeId: NodeId) => gaps.openFor(log, nodeId).map(({ first, last }) => [first, last]);

test('what is here is no gap', () => {
  gaps.note(log, { after: 0, through: 3, here: [1, 2, 3] });
  expect([open(A), noted, gaps.logs]).toEqual([[], 0, []]);
  gaps.note(log, { after: 3, through: 10, here: [5, 6, 9] });
  expect(open(A)).toEqual([
    [4, 4],
    [7, 8],
    [10, 10],
  ]);
  gaps.note(log, { after: 10, through: 12, here: [] });
  expect(open(A).at(-1)).toEqual([10, 12]);
  expect(noted).toBe(2);
});

test('each node is asked once for each, and what all have been asked for is gone', () => {
  gaps.note(log, { after: 0, through: 10, here: [] });
  gaps.noteAsked(log, A, 4);
  expect([open(A), open(B)]).toEqual([[[5, 10]], [[1, 10]]]);
  gaps.noteAsked(log, A, 10);
  gaps.settle(log, [A, B]);
  expect([open(A), open(B)]).toEqual([[], [[1, 10]]]);
  gaps.note(log, { after: 20, through: 21, here: [] });
  gaps.noteAsked(log, B, 10);
  gaps.settle(log, [A, B]);
  expect([open(A), open(B)]).toEqual([[[21, 21]], [[21, 21]]]);
  gaps.settle(log, []);
  expect(gaps.logs).toEqual([]);
});

test('of many the nearest become one, and none is lost', () => {
  for (let at = 0; at < 1000; at++) gaps.note(log, { after: at * 10, through: at * 10 + 2, here: [at * 10 + 1] });
  const kept = open(A) as [number, number][];
  expect(kept.length).toBeLessThanOrEqual(64);
  for (let at = 0; at < 1000; at++)
    expect(kept.some(([first, last]) => first <= at * 10 + 2 && last >= at * 10 + 2)).toBe(true);
});

test('more logs than nodes may tell of are not noted', () => {
  for (let n = 0; n < 1100; n++) gaps.note({ ...log, origin: `n${n}` as NodeId }, { after: 0, through: 1, here: [] });
  expect(gaps.logs).toHaveLength(1000);
});

test('it is kept as text; any other text is nothing', () => {
  gaps.note(log, { after: 0, through: 10, here: [3] });
  gaps.noteAsked(log, A, 2);
  const next = new LogGaps();
  next.take(gaps.toText());
  expect(next.toText()).toBe(gaps.toText());
  expect(next.openFor(log, A)).toEqual([{ first: 4, last: 10 }]);
  next.take('[{');
  expect(next.logs).toEqual([]);
});
