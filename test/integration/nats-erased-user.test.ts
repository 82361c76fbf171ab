// A user is erased in a cluster of real nats-servers: nothing comes back from a node that was away, from its stream, or from
// one that joins later; and no file of any node, of its database or of its nats-server, has the words that were said.
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DOCUMENTS_KEYGROUP } from '../../src/domain/cluster/documents.ts';
import type { SessionKey, UserId } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { KEYGROUP, sealedErasure, sealedWords, sessionKey } from '../../tools/turn-records.ts';
import { filesWith } from '../support/files-with.ts';
import { type Cluster, type StoreNode, startCluster } from '../support/nats-cluster.ts';
import { eventually } from '../support/sharing-store-node.ts';

const USER = 'erased-user' as UserId;
const CANARY = 'canary-7f3a91';
const keygroups = [KEYGROUP, DOCUMENTS_KEYGROUP];

let cluster: Cluster;
beforeEach(async () => {
  cluster = await startCluster();
});
afterEach(() => cluster.end());

/** Of its database and of its nats-server. */
const filesOf = (node: StoreNode) => filesWith(join(node.storeFolder, '..'), CANARY);

async function erases(node: StoreNode): Promise<void> {
  await eventually(() => expect(node.store.erasures.of(USER)).toHaveLength(1));
  expect((await node.store.erase(USER)).next).toBeUndefined();
  await node.store.wipeErased(USER);
  expect(await filesOf(node)).toEqual([]);
}

test('while a node is off-line; it returns, and nothing comes back', async () => {
  const nodes = [await cluster.node('e1'), await cluster.node('e2'), await cluster.node('e3')] as const;
  const [e1, e2, e3] = nodes;
  const open = (node: StoreNode) =>
    node.open(
      nodes.filter((other) => other !== node),
      { keygroups },
    );
  for (const node of nodes) await open(node);
  for (const node of nodes) await node.eventuallyConnected(...nodes.filter((other) => other !== node));
  const others = await e3.append(sealedWords(sessionKey('s', 'other'), 'words of others'));
  const records = [others];
  for (const node of nodes) records.push(await node.append(sealedWords(sessionKey(`at-${node.id}`, USER), CANARY)));
  for (const node of nodes) await node.eventuallyHolds(records);
  // Written by the one that goes away, and by nobody else known.
  await e1.close();
  await e2.close();
  await e3.append(sealedWords(sessionKey('unheard-of', USER), CANARY));
  await e3.stop();
  await open(e1);
  await open(e2);

  await e1.append(sealedErasureNow());
  await erases(e1);
  await erases(e2);

  expect(await filesOf(e3)).not.toEqual([]);
  await e3.startServer();
  await open(e3);
  await erases(e3);
  for (const node of nodes) await node.eventuallyConnected(...nodes.filter((other) => other !== node));
  const newcomer = await cluster.node('e4');
  await newcomer.open([e1, e2, e3], { keygroups });
  const last = await e3.append(sealedWords(sessionKey('last', 'other'), 'last words'));
  for (const node of [...nodes, newcomer]) {
    await node.eventuallyHolds([others, last]);
    for (const id of ['at-e1', 'at-e2', 'at-e3', 'unheard-of'])
      expect(await node.store.read(sessionKey(id, USER))).toBeUndefined();
    expect(await filesOf(node)).toEqual([]);
    expect(node.store.sharing.status().outbox.every(({ last, published }) => last === published)).toBe(true);
  }
}, 180_000);

test('a stream whose last message was erased goes on where it was, after another start of node and server', async () => {
  const [e1, e2] = [await cluster.node('e1'), await cluster.node('e2')];
  await e1.open([e2], { keygroups });
  await e2.open([e1], { keygroups });
  const kept = await e1.append(sealedWords(sessionKey('kept', 'other'), 'words of others'));
  const gone = await e1.append(sealedWords(sessionKey('gone', USER), CANARY));
  await e2.eventuallyHolds([kept, gone]);
  await e1.append(sealedErasureNow());
  await erases(e1);
  const nats = await e1.connect();
  const { jetstreamManager } = await import('@nats-io/jetstream');
  const before = await (await jetstreamManager(nats)).streams.info(e1.stream);
  await nats.close();
  expect(before.state.messages).toBe(1);
  await e1.stop();
  await e1.startServer();
  await e1.open([e2], { keygroups });
  const next = await e1.append(sealedWords(sessionKey('next', 'other'), 'next'));
  await e2.eventuallyHolds([kept, next]);
  const again = await e1.connect();
  const after = await (await jetstreamManager(again)).streams.info(e1.stream);
  await again.close();
  expect([after.created, after.state.messages]).toEqual([before.created, 2]);
}, 120_000);

test('of however many messages no file keeps one, and what is written meanwhile is published between them', async () => {
  const [SESSIONS, TURNS] = [6, 200];
  const e1 = await cluster.node('e1');
  await e1.open([], { keygroups });
  for (let session = 0; session < SESSIONS; session++)
    await Promise.all(
      Array.from({ length: TURNS }, (_, i) =>
        e1.append(sealedWords(sessionKey(`s${session}-${i}`, USER), `${CANARY}.${i}`)),
      ),
    );
  const isPublished = () => {
    const { outbox } = e1.store.sharing.status();
    return expect(outbox.map(({ last, published }) => last - published)).toEqual(outbox.map(() => 0));
  };
  await eventually(isPublished);
  await e1.append(sealedErasureNow());
  let after: SessionKey | undefined;
  do after = (await e1.store.erase(USER, after)).next;
  while (after !== undefined);
  const wiping = e1.store.wipeErased(USER);
  const kept = await e1.append(sealedWords(sessionKey('kept', 'other'), 'words of others'));
  await eventually(isPublished);
  await wiping;
  expect(await filesOf(e1)).toEqual([]);
  expect((await e1.store.read(sessionKey('kept', 'other')))?.records).toEqual([
    expect.objectContaining({ hash: kept.hash }),
  ]);
}, 180_000);

function sealedErasureNow(): SealedRecord {
  const { record } = sealedErasure({ userId: USER });
  return sealRecord({ ...record, writtenAtMs: Date.now(), expiresAtMs: Date.now() + 3_600_000 });
}
