// Replication between real nats-servers that are killed, stopped, wiped, and robbed of streams and consumers while records
// are written. What was acknowledged must be everywhere in the end, and nothing may need an operator.
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { announceSubject, recordSubject } from '../../src/context-store/nats/names.ts';
import type { Incarnation, KeygroupId, NodeId } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { KEYGROUP, sealedTurn, sessionKey } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';
import { survive } from '../support/survive.ts';

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  await cluster.end();
});

async function pair(): Promise<[StoreNode, StoreNode]> {
  return (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
}

test("a node's own server is killed and comes back", async () => {
  const [a, b] = await pair();
  await survive(a, b, async () => {
    await a.killServer();
    await eventually(() => expect(b.peer(a).state).toBe('unreachable'));
    await a.startServer();
  });
});

test('both servers are killed at once', async () => {
  const [a, b] = await pair();
  await survive(a, b, async () => {
    await Promise.all([a.killServer(), b.killServer()]);
    await Promise.all([a.startServer(), b.startServer()]);
  });
});

test('a JetStream folder is wiped', async () => {
  const [a, b] = await pair();
  await survive(a, b, async () => {
    await a.killServer();
    await a.wipeJetStream();
    await a.startServer();
  });
});

test('a JetStream folder is wiped after some of its records were deleted', async () => {
  const [a, b] = await pair();
  const before = await a.writeMany(200, 'old');
  await b.eventuallyHolds(before);
  for (let i = 0; i < 150; i++) await a.delete(sessionKey(`old${i}`));
  await survive(a, b, async () => {
    await a.killServer();
    await a.wipeJetStream();
    await a.startServer();
  });
  await eventually(() => expect(b.peer(a).logs[0]?.lag).toBe(0));
});

test('a stream made anew and shorter than before brings what is written next', async () => {
  const [a, b] = await pair();
  await b.eventuallyHolds(await a.writeMany(100, 'old'));
  const tombstones = await Promise.all(Array.from({ length: 90 }, (_, i) => a.delete(sessionKey(`old${i}`))));
  await b.eventuallyHolds(tombstones);
  await a.killServer();
  await a.wipeJetStream();
  await a.startServer();
  await eventually(() =>
    expect(a.store.sharing.status()).toMatchObject({ transport: { connected: true }, outbox: [{ published: 190 }] }),
  );
  await b.eventuallyConnected(a);
  // One after the other: the first could still come with the greeting.
  for (const name of ['x', 'y', 'z']) await b.eventuallyHolds(await a.writeMany(1, name));
});

test('a stream is deleted while it is in use', async () => {
  const [a, b] = await pair();
  await survive(a, b, async () => {
    const nats = await a.connect();
    expect(await (await jetstreamManager(nats)).streams.delete(a.stream)).toBe(true);
    await nats.close();
  });
});

test('a stream is deleted, and nobody writes', async () => {
  const [a, b] = await pair();
  const records = await a.writeMany(10);
  await b.eventuallyHolds(records);
  const nats = await a.connect();
  const manager = await jetstreamManager(nats);
  const announced = nats.subscribe(announceSubject(a.id), { max: 1 });
  await nats.flush();
  await manager.streams.delete(a.stream);
  for await (const _ of announced) break;
  // It is announced when it is there, and filled after that.
  await eventually(async () => expect((await manager.streams.info(a.stream)).state.messages).toBe(10));
  await nats.close();
  await b.eventuallyHolds([await a.write({ key: sessionKey('next') })]);
});

test('a consumer is deleted behind our back', async () => {
  const [a, b] = await pair();
  await survive(a, b, async () => {
    const nats = await a.connect();
    expect(await (await jetstreamManager(nats)).consumers.delete(a.stream, b.id)).toBe(true);
    await nats.close();
  });
});

test('messages are deleted from a stream before anybody has read them', async () => {
  const [a, b] = await pair();
  await b.close();
  const records = await a.writeMany(100);
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(100));
  const nats = await a.connect();
  const manager = await jetstreamManager(nats);
  for (const sequence of [1, 2, 50, 51, 52, 99]) await manager.streams.deleteMessage(a.stream, sequence);
  await nats.close();
  await b.open([a]);
  await b.eventuallyHolds(records);
  await eventually(() => expect(b.arrived).toHaveLength(100));
});

test('everything in a stream is too old, and then it is trimmed to its end', async () => {
  const [a, b] = await pair();
  await b.close();
  const records = await a.writeMany(100);
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(100));
  const nats = await a.connect();
  await (await jetstreamManager(nats)).streams.purge(a.stream);
  await nats.close();
  await b.open([a]);
  await b.eventuallyHolds(records);
});

test('a server hangs for a while', async () => {
  const [a, b] = await pair();
  await survive(a, b, async () => {
    const before = a.store.sharing.status().outbox[0]?.published ?? 0;
    a.signalServer('SIGSTOP');
    await eventually(() => expect((a.store.sharing.status().outbox[0]?.last ?? 0) - before).toBeGreaterThan(300));
    a.signalServer('SIGCONT');
  });
});

test('a node is away while thousands of records are written', async () => {
  const [a, b] = await pair();
  await b.close();
  const records: SealedRecord[] = [];
  for (let i = 0; i < 10; i++) records.push(...(await a.writeMany(1_000, `s${i}-`)));
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(10_000));
  const startedMs = performance.now();
  await b.open([a]);
  await eventually(() => expect(b.arrived).toHaveLength(10_000));
  console.log(`caught up with 10,000 records in ${Math.round(performance.now() - startedMs)} ms, opening included`);
  await eventually(() => expect(b.arrived).toEqual(records.map(({ hash }) => hash)));
});

test('a node whose disk is new gets back what its peers have, its own records included', async () => {
  const [a, b, c] = (await cluster.open('a', 'b', 'c')) as [StoreNode, StoreNode, StoreNode];
  const [fromA, fromB, fromC] = await Promise.all([
    a.writeMany(1_000, 'a'),
    b.writeMany(30, 'b'),
    c.writeMany(30, 'c'),
  ]);
  await Promise.all([b, c].map((node) => node.eventuallyHolds(fromA)));
  await a.eventuallyHolds([...fromB, ...fromC]);
  const before = a.store.incarnation;
  await a.stop();
  await a.wipeDisk();
  await a.startServer();
  a.arrived.length = 0;
  await a.open([b, c]);
  expect(a.store.incarnation).not.toBe(before);
  await a.eventuallyHolds([...fromA, ...fromB, ...fromC]);
  // Both others have A's old records; half as much again would be enough to hand them out twice.
  const sharedBytes = [...fromA, ...fromB, ...fromC].reduce((sum, { bytes }) => sum + bytes.length, 0);
  const receivedBytes = a.peer(b).bytesIn + a.peer(c).bytesIn;
  expect(receivedBytes).toBeLessThan(1.5 * sharedBytes);
  const next = await a.writeMany(20, 'next');
  await Promise.all([b, c].map((node) => node.eventuallyHolds(next)));
  expect(b.peer(a).node?.incarnation).toBe(a.store.incarnation);
});

test('a new disk and the stream of the one before', async () => {
  const [a, b] = await pair();
  const fromA = await a.writeMany(50, 'a');
  await b.eventuallyHolds(fromA);
  await a.close();
  await a.wipeReplica();
  await a.open([b]);
  await a.eventuallyHolds(fromA);
  await b.eventuallyHolds(await a.writeMany(20, 'next'));
});

test("a dead node's records come from any peer that has them", async () => {
  const [a, b, c] = (await cluster.open('a', 'b', 'c')) as [StoreNode, StoreNode, StoreNode];
  const first = await b.writeMany(20, 'first');
  await a.eventuallyHolds(first);
  await a.close();
  const second = await b.writeMany(1_500, 'second');
  await c.eventuallyHolds(second);
  await b.stop();
  a.arrived.length = 0;
  await a.open([b, c]);
  await a.eventuallyHolds(second);
  await eventually(() => expect(a.arrived).toHaveLength(second.length));
  // The dead return: what they had not handed on comes from themselves, and nothing comes twice.
  await b.startServer();
  await b.open([a, c]);
  const third = await b.writeMany(20, 'third');
  await a.eventuallyHolds(third);
  await eventually(() => expect(a.arrived).toHaveLength(second.length + third.length));
});

test('rubbish in a stream is refused and counted, and does not stop what comes after it', async () => {
  const [a, b] = await pair();
  const good = await a.writeMany(3, 'good');
  await b.eventuallyHolds(good);
  const nats = await a.connect();
  const publish = (sequence: number, bytes: Uint8Array) =>
    nats.publish(recordSubject({ keygroup: KEYGROUP, nodeId: a.id, originSequence: sequence }), bytes);
  const record = { ...sealedTurn({ key: sessionKey('bad') }).record, origin: a.id, incarnation: a.store.incarnation };
  const sealed = sealRecord(record);

  // Numbers that the origin has never given out.
  publish(10 ** 12, sealed.bytes);
  nats.publish(`${recordSubject({ keygroup: KEYGROUP, nodeId: a.id, originSequence: 1 })}Z-`, sealed.bytes);
  await eventually(() => expect(b.peer(a).refusedRecords).toEqual({ unknown_sequence: 2 }));

  // The origin is gone, and its stream goes on with what is no record of its own.
  const next = await a.write({ key: sessionKey('next') });
  await b.eventuallyHolds([next]);
  await a.close();
  const flipped = Uint8Array.from(sealed.bytes, (byte, i) => (i === 40 ? byte ^ 1 : byte));
  const bad: readonly Uint8Array[] = [
    new Uint8Array(0),
    Buffer.from('{"kind":"turn"}'),
    flipped,
    sealRecord({ ...record, keygroup: 'ffffffffffffffff' as KeygroupId }).bytes,
    sealRecord({ ...record, origin: 'c' as NodeId }).bytes,
    sealRecord({ ...record, incarnation: 'ffffffff' as Incarnation }).bytes,
  ];
  const told: unknown[] = [];
  const listener = await b.connect();
  listener.subscribe(announceSubject(b.id), { callback: (_, message) => void told.push(message.json()) });
  await listener.flush();
  for (const [i, bytes] of bad.entries()) publish(5 + i, bytes);
  await eventually(() => {
    expect(b.peer(a).refusedRecords).toEqual({
      unknown_sequence: 2,
      corrupt: 3,
      foreign_keygroup: 1,
      foreign_origin: 2,
    });
  });
  expect(await b.holds([sealed])).toBe(false);
  // Its cursor is past them, and nobody must take it for a holder.
  const { origin, incarnation, keygroup } = record;
  await eventually(() =>
    expect(told).toContainEqual({ kind: 'evicted', log: { origin, incarnation, keygroup }, through: 10 }),
  );
  await listener.close();
  expect(b.environment.logLines.filter(({ event }) => event === 'record_refused')).toHaveLength(4);
  await nats.close();

  await a.open([b]);
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(10));
  const last = await a.writeMany(20, 'last');
  await b.eventuallyHolds(last);
  await eventually(() => expect(b.arrived).toEqual([...good, next, ...last].map(({ hash }) => hash)));
});
