// Logs that wait at a newer record: tries to have one forgotten too early, told twice, or told of without end.
import { expect, test } from 'vitest';
import { LOGS_MAX } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import { HeldLogs } from '../../../src/context-store/replication/pull/held-logs.ts';
import type { Incarnation, NodeId } from '../../../src/domain/identifiers.ts';
import { KEYGROUP } from '../../../tools/turn-records.ts';

const logOf = (origin: string) => ({
  origin: origin as NodeId,
  incarnation: 'deadbeef' as Incarnation,
  keygroup: KEYGROUP,
});

test('a log is held until it is settled up to that record, and is news once', () => {
  const held = new HeldLogs();
  expect(held.hold(logOf('a'), { sequence: 5, version: 3 })).toBe(true);
  expect(held.hold(logOf('a'), { sequence: 5, version: 3 })).toBe(false);
  held.settle(logOf('a'), 4);
  held.settle(logOf('b'), 9);
  expect(held.at(logOf('a'))).toBe(5);
  expect(held.versionNeededFor('a' as NodeId)).toBe(3);
  expect(held.versionNeededFor('b' as NodeId)).toBeUndefined();
  held.settle(logOf('a'), 5);
  expect(held.at(logOf('a'))).toBeUndefined();
  expect(held.versionNeededFor('a' as NodeId)).toBeUndefined();
});

test('a peer that invents logs does not fill the memory', () => {
  const held = new HeldLogs();
  const news = Array.from({ length: LOGS_MAX + 10 }, (_, i) => held.hold(logOf(`n${i}`), { sequence: 1, version: 3 }));
  expect(news.filter((isNews) => isNews)).toHaveLength(LOGS_MAX);
});
