import { expect, test } from 'vitest';
import {
  boxKeygroup,
  isBox,
  isOfLog,
  membersKeygroup,
  parseItemId,
  recordId,
  recordsKeygroup,
} from '../../../../src/context-store/fred/names.ts';
import type { ClusterName, Incarnation, NodeId } from '../../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../../tools/turn-records.ts';

const log = { origin: 'edge-1' as NodeId, incarnation: '0badcafe' as Incarnation, keygroup: KEYGROUP };

test("a log's ids are of one length, are read back, and stand in the order of their numbers as FReD compares them", () => {
  const numbers = [0, 1, 9, 35, 36, 1_295, 1_296, 123_456_789, 36 ** 10 - 1];
  const ids = numbers.map((number) => recordId(log, number));
  expect(new Set(ids.map((id) => id.length))).toEqual(new Set([20]));
  expect([...ids].sort((a, b) => (`${a}|` < `${b}|` ? -1 : 1))).toEqual(ids);
  expect(ids.map((id) => parseItemId(id)?.number)).toEqual(numbers);
  for (const id of ids) {
    expect(isOfLog(parseItemId(id) as never, log)).toBe(true);
    expect(isOfLog(parseItemId(id) as never, { ...log, incarnation: '0badcaff' as Incarnation })).toBe(false);
  }
});

test.each(['', '0', recordId(log, 1).slice(1), `${recordId(log, 1)}0`, recordId(log, 1).toUpperCase()])(
  '%j is no id',
  (id) => {
    expect(parseItemId(id)).toBeUndefined();
  },
);

test('names are letters and digits, whatever a cluster and a node are called, and clusters stay apart', () => {
  const [blue, red] = ['blue_1', 'red-2'] as ClusterName[] as [ClusterName, ClusterName];
  const place = { nodeId: 'n_1-a' as NodeId, fredHost: '[::1]:9001' };
  const names = [blue, red].flatMap((name) => [
    membersKeygroup(name),
    recordsKeygroup(name, KEYGROUP),
    boxKeygroup(name, place),
    boxKeygroup(name, { ...place, fredHost: 'other:9001' }),
  ]);
  for (const name of names) expect(name).toMatch(/^[a-z0-9]+$/);
  expect(new Set(names).size).toBe(names.length);
  expect(names.filter(isBox)).toHaveLength(4);
});
