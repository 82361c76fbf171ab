// A newcomer to a cluster in which a session is gone where it was written, in its store and in its stream: it must get it from
// whoever still holds it, without being asked for it, whenever that one can be reached; and must not take back what was deleted.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import { KEYGROUP, sessionKey } from '../../tools/turn-records.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';

const SMALL_BYTES = 200_000;
const OLD = sessionKey('old');

let cluster: Cluster;
let e1: StoreNode;
let e2: StoreNode;
/** Written first, and gone at e1. */
let old: SealedRecord[];
/** Written after it, and still there. */
let last: SealedRecord;

beforeEach(async () => {
  cluster = await startCluster();
  e1 = await cluster.node('e1', { bytesMax: SMALL_BYTES });
  e2 = await cluster.node('e2');
  await e1.open([e2]);
  await e2.open([e1]);
  old = [await e1.write({ key: OLD })];
  for (let turn = 2; turn <= 5; turn++) old.push(await e1.write({ key: OLD, parent: old.at(-1) }));
  for (let n = 0; n < 20 || (await listed(e1)); n++)
    last = await e1.write({ key: sessionKey(`filler-${n}`), replyTokens: 8_000 });
  await e2.eventuallyHolds([...old, last]);
  await e1.stop();
  await e1.wipeJetStream();
  await e1.startServer();
  await e1.open([e2]);
  await e1.eventuallyConnected(e2);
});
afterEach(async () => {
  await cluster.end();
});

/** Without reading it: that would count as use. */
async function listed(node: StoreNode): Promise<boolean> {
  const page = await node.store.list({ keygroup: KEYGROUP, limit: 1000, nowMs: 0 });
  return page.sessions.some(({ key }) => key.sessionId === OLD.sessionId);
}

test('it comes by itself, whole, and not to the one that has no room for it', async () => {
  const e3 = await cluster.node('e3');
  await e3.open([e1]);
  await e3.eventuallyHolds([...old, last]);
  expect((await e3.store.read(OLD))?.records.map(({ hash }) => hash)).toEqual(old.map(({ hash }) => hash));
  expect(new Set(e3.arrived).size).toBe(e3.arrived.length);
  expect(await listed(e1)).toBe(false);
});

test('it comes when its holder is back, also after a start, and meanwhile the rest comes', async () => {
  await e2.stop();
  const e3 = await cluster.node('e3');
  await e3.open([e1]);
  const news = await e1.write({ key: sessionKey('news') });
  await e3.eventuallyHolds([last, news]);
  expect(await listed(e3)).toBe(false);
  await e3.close();
  await e3.open([e1]);
  await e3.eventuallyConnected(e1);
  await e2.startServer();
  await e2.open([e1]);
  await e3.eventuallyHolds(old);
});

test('what its holder has deleted is deleted', async () => {
  await e2.delete(OLD);
  const e3 = await cluster.node('e3');
  await e3.open([e1]);
  await e3.eventuallyHolds([...old, last]);
  expect(await e3.store.read(OLD)).toMatchObject({ deleted: true, records: [{ record: { kind: 'tombstone' } }] });
});
