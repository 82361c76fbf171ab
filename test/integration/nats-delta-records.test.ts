// Records lean on their parents while they travel: tries to lose one whose parent the receiver no longer has, one that
// was garbled under way, and everything that comes after it; and to find in a stream what its name says already.
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { recordSubject } from '../../src/context-store/nats/names.ts';
import { DeltaUnreadable, openDelta } from '../../src/context-store/replication/delta/delta-record.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { HOUR_MS, KEYGROUP, WRITTEN_AT_MS } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const LIFETIME_MS = 24 * HOUR_MS;

let cluster: Cluster;
let a: StoreNode;
let b: StoreNode;
beforeEach(async () => {
  cluster = await startCluster();
  [a, b] = (await cluster.open('a', 'b')) as [StoreNode, StoreNode];
});
afterEach(async () => {
  await cluster.end();
});

/** The turn after `parent`, written an hour later and kept as long as ever. */
function nextTurn(parent: SealedRecord, replyTokens = 128): Promise<SealedRecord> {
  const writtenAtMs = parent.record.writtenAtMs + HOUR_MS;
  return a.write({ parent, writtenAtMs, expiresAtMs: writtenAtMs + LIFETIME_MS, replyTokens });
}

/** The bytes in A's stream, in order. */
async function stream(count: number): Promise<Uint8Array[]> {
  const nats = await a.connect();
  const { streams } = await jetstreamManager(nats);
  const messages: Uint8Array[] = [];
  for (let seq = 1; seq <= count; seq++)
    messages.push((await streams.getMessage(a.stream, { seq }))?.data ?? new Uint8Array());
  await nats.close();
  return messages;
}

function leansOnParent(bytes: Uint8Array, { record }: SealedRecord): boolean {
  try {
    openDelta(bytes, record, () => undefined);
    return false;
  } catch (error) {
    return error instanceof DeltaUnreadable;
  }
}

/** B forgets the session of A's first turn, as a node does that keeps less. */
async function forgottenFirst(): Promise<SealedRecord> {
  const first = await a.write();
  await b.eventuallyHolds([first]);
  await b.store.expire(WRITTEN_AT_MS + LIFETIME_MS);
  expect(await b.holds([first])).toBe(false);
  return first;
}

test('a turn leans on the one before, and arrives as it was written', async () => {
  const first = await a.write({ replyTokens: 128 });
  const second = await nextTurn(first);
  const third = await nextTurn(second);
  await b.eventuallyHolds([first, second, third]);
  const messages = await stream(3);
  expect(messages.map((bytes) => leansOnParent(bytes, first))).toEqual([false, true, true]);
  for (const [index, bytes] of messages.entries()) {
    expect(bytes[0]).toBe(0x81);
    expect(bytes.length).toBeLessThan(([first, second, third][index] as SealedRecord).bytes.length);
    for (const name of [a.store.incarnation, KEYGROUP])
      expect(Buffer.from(bytes).includes(Buffer.from(name, 'hex')), name).toBe(false);
  }
});

test('a branch and a second line of turns lean on their own parents', async () => {
  const first = await a.write();
  const [left, right] = [await nextTurn(first, 3), await nextTurn(first, 5)];
  const leaves = [await nextTurn(left), await nextTurn(right)];
  await b.eventuallyHolds([first, left, right, ...leaves]);
});

test('a turn whose parent is no longer here is had whole, and the next one leans on it again', async () => {
  const first = await forgottenFirst();
  const second = await nextTurn(first);
  const third = await nextTurn(second);
  await b.eventuallyHolds([second, third]);
  expect(leansOnParent((await stream(2))[1] as Uint8Array, second)).toBe(true);
  await eventually(() => expect(b.arrived).toEqual([first, second, third].map(({ hash }) => hash)));
  expect(b.peer(a).refusedRecords).toEqual({});
});

test('a turn that cannot be had whole yet is waited for, and nothing overtakes it', async () => {
  const first = await forgottenFirst();
  await b.close();
  const second = await nextTurn(first);
  const other = await a.writeMany(3, 'other');
  await eventually(() => expect(a.store.sharing.status().outbox[0]?.published).toBe(5));
  await a.close();
  const seen = b.environment.logLines.length;
  await b.open([a]);
  const restarted = () => b.environment.logLines.slice(seen).some(({ event }) => event === 'pull_restarted');
  await eventually(() => expect(restarted()).toBe(true));
  expect(await b.holds([second])).toBe(false);
  await a.open([b]);
  await b.eventuallyHolds([second, ...other]);
  await eventually(() => expect(b.arrived.slice(1)).toEqual([second, ...other].map(({ hash }) => hash)));
});

/** Something unreadable lies in A's stream after the first record; A is closed. */
async function garbled(): Promise<void> {
  await b.eventuallyHolds([await a.write()]);
  const delta = Uint8Array.from((await stream(1))[0] as Uint8Array);
  delta[delta.length - 9] = (delta[delta.length - 9] as number) ^ 0xff;
  await a.close();
  const nats = await a.connect();
  nats.publish(recordSubject({ keygroup: KEYGROUP, nodeId: a.id, originSequence: 2 }), delta);
  await nats.drain();
}

test('a delta form that was garbled under way is had whole', async () => {
  await garbled();
  await a.killServer();
  await a.open([b]);
  const second = await a.write({ variant: 2 });
  await a.startServer();
  await b.eventuallyHolds([second, ...(await a.writeMany(2, 'after'))]);
  await eventually(() => expect(b.peer(a).logs).toMatchObject([{ cursor: 4, lag: 0 }]));
});

test('a garbled delta form is passed over when its origin knows of no such record', async () => {
  await garbled();
  await a.open([b]);
  await eventually(() => expect(a.store.sharing.status().outbox).toMatchObject([{ last: 2, published: 2 }]));
  await b.eventuallyHolds(await a.writeMany(2, 'after'));
  await eventually(() => expect(b.peer(a).logs).toMatchObject([{ cursor: 4, lag: 0 }]));
});
