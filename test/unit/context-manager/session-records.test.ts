// Listens at the one door for records, as a console or a quota would, and tries to find a record told of that a reader
// does not see, one that is lost between store and cache, or a listener that harms a turn.
import { expect, it } from 'vitest';
import type { SessionKey } from '../../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { sessionKeyOf } from '../../../src/domain/record/turn-record.ts';
import { contextManagerRig, type Rig, replicaRig } from '../../support/context-manager-rig.ts';

/** The first turns of a session, as another node wrote them. */
async function writtenElsewhere(to: number): Promise<readonly SealedRecord[]> {
  const elsewhere = await contextManagerRig({ options: { nodeId: 'node-2' as never } });
  await elsewhere.turns('s', { to });
  return elsewhere.records('s');
}

const turnsHeld = async (rig: Rig, key: SessionKey) => (await rig.node.records.load(key)).history.tip?.record.turn ?? 0;

it('one more subscriber is one line: a quota that counts each user’s bytes, from here and from elsewhere', async () => {
  const rig = await replicaRig();
  const bytes: Record<string, number> = {};

  rig.node.records.onRecord(({ record, bytes: { length } }, from) => {
    bytes[`${record.userId} ${from}`] = (bytes[`${record.userId} ${from}`] ?? 0) + length;
  });

  const [arrived] = (await writtenElsewhere(1)) as [SealedRecord];
  await rig.store.arrive(arrived);
  await rig.turn({ session: 's', turn: 2 });
  const written = rig.records('s').at(-1) as SealedRecord;
  expect(bytes).toEqual({ 'ada elsewhere': arrived.bytes.length, 'ada here': written.bytes.length });
  expect(await rig.metrics.metric('discedge_records_total', { from: 'here' })).toBe(1);
  expect(await rig.metrics.metric('discedge_records_total', { from: 'elsewhere' })).toBe(1);
});

it('whoever is told of a record finds it in its session, cached or not', async () => {
  const rig = await replicaRig();
  const [first, second, third] = (await writtenElsewhere(3)) as [SealedRecord, SealedRecord, SealedRecord];
  const found: Promise<[told: number, held: number]>[] = [];
  rig.node.records.onRecord(({ record }) => {
    if (record.kind !== 'turn') return;
    const held = turnsHeld(rig, sessionKeyOf(record));
    found.push(held.then((turn) => [record.turn, turn]));
  });
  for (const sealed of [first, second]) {
    await rig.store.arrive(sealed);
    await rig.settled();
  }
  rig.node.records.forget(sessionKeyOf(third.record));
  await rig.store.arrive(third);
  await rig.turn({ session: 's', turn: 4 });
  expect(await Promise.all(found)).toEqual([1, 2, 3, 4].map((turn) => [turn, turn]));
});

it.each(['here', 'elsewhere'] as const)(
  'a record from %s that comes in during a read is not lost to it',
  async (from) => {
    const rig = await replicaRig();
    const records = await writtenElsewhere(2);
    const [first, second] = records as [SealedRecord, SealedRecord];
    await rig.store.arrive(first);
    const key = sessionKeyOf(first.record);
    const reading = rig.store.hold('answer');
    const during = turnsHeld(rig, key);
    await reading.entered;
    if (from === 'elsewhere') await rig.store.arrive(second);
    else await rig.node.records.writeSealed(second);
    reading.release();
    expect(await during).toBe(2);
    expect(await turnsHeld(rig, key)).toBe(2);
  },
);

it('a subscriber that throws is logged, and disturbs neither turns nor those who wait for a record', async () => {
  const rig = await replicaRig();
  rig.node.records.onRecord(() => {
    throw new Error('a broken subscriber');
  });
  const waiting = rig.turn({ session: 's', turn: 2, maxWaitMs: 1000 });
  await rig.settled();
  const [first] = (await writtenElsewhere(1)) as [SealedRecord];
  await rig.store.arrive(first);
  expect(await waiting).toMatchObject({ turn: 2, basedOnTurn: 1 });
  expect(rig.environment.logLines.filter(({ event }) => event === 'record_listener_failed')).toHaveLength(2);
});
