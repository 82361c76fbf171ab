// A store that is encrypted, against who reads its files, changes them, or starts without its key: contents are in no file, a row
// that was changed, cut or put under another key is damage of its own session alone, and no key brings up garbage. Then
// keys change while the store is used, and is ended at any point of that.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { formOf, IN_THE_CLEAR, KeyedRowSeal, UNSEALED } from '../../../src/context-store/leveldb/sealing/row-seal.ts';
import { openTables, recordKey, type Tables, tableKey } from '../../../src/context-store/leveldb/tables/tables.ts';
import {
  LevelContextStore,
  type LevelStore,
  openLevelEnvironment,
  openLevelStore,
} from '../../../src/context-store/leveldb.ts';
import { type KeyRing, onlyToRead } from '../../../src/domain/encryption/key-ring.ts';
import type { NodeId, UserId } from '../../../src/domain/identifiers.ts';
import type { ConversationDigest } from '../../../src/domain/record/conversation-digest.ts';
import { type SealedRecord, sealRecord } from '../../../src/domain/record/record-codec.ts';
import {
  KEYGROUP,
  sealedLine,
  sealedTombstone,
  sealedTurn,
  sessionKey,
  turnRecord,
} from '../../../tools/turn-records.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { sessionRecords } from '../../support/arbitrary-records.ts';
import { keyRing } from '../../support/key-rings.ts';

const CANARY = 'a word that stands nowhere else';
const DIGEST = 'd1'.repeat(16) as ConversationDigest;

let folder: string;
let environment: VirtualEnvironment;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-encryption-'));
  environment = virtualEnvironment();
  onTestFinished(() => rm(folder, { recursive: true }));
});

async function open(encryption?: KeyRing): Promise<LevelStore> {
  const store = await openLevelStore({ folder, nodeId: 'node-1' as NodeId, bytesMax: 1e9, encryption }, environment);
  onTestFinished(() => store.close());
  return store;
}

async function inTables<T>(look: (tables: Tables) => Promise<T> | T): Promise<T> {
  const tables = await openTables(join(folder, 'leveldb'));
  try {
    return await look(tables);
  } finally {
    await tables.close();
  }
}

/** How the rows of all records lie, and what stands for digests in keys. */
function forms(): Promise<{ records: string[]; digests: string[] }> {
  return inTables(async ({ asTheyLie, byConversation }) => {
    const found = { records: [] as string[], digests: [] as string[] };
    for await (const { value } of asTheyLie.records.entries()) found.records.push(formOf(value));
    for await (const { value } of asTheyLie.conversationsOf.entries()) found.records.push(formOf(value));
    for await (const [, , digest] of byConversation.keys()) found.digests.push(digest);
    return { records: [...new Set(found.records)], digests: found.digests };
  });
}

async function bytesOfAllFiles(): Promise<Buffer> {
  const names = (await readdir(join(folder, 'leveldb'))).filter((name) => name !== 'LOCK');
  return Buffer.concat(await Promise.all(names.map((name) => readFile(join(folder, 'leveldb', name)))));
}

/** A turn that says the canary, as ids and as text. LevelDB compresses what repeats, so ids stand once. */
function canaryTurn(sessionId = 'session'): SealedRecord {
  const record = turnRecord({ key: sessionKey(sessionId), conversations: [DIGEST] });
  if (record.payload.mode !== 'tokenized') throw new TypeError('not tokenized');
  return sealRecord({ ...record, payload: { ...record.payload, replyText: CANARY } });
}

const idsOf = (letters: string) => keyRing(...letters).keys.map(({ id }) => id);

test('contents, and digests of them, are in the files of a plain store and in none of an encrypted one', async () => {
  const found = async (ring: KeyRing | undefined) => {
    const store = await open(ring);
    await store.append(canaryTurn());
    await store.close();
    const files = await bytesOfAllFiles();
    return [files.includes(CANARY), files.includes(DIGEST)];
  };
  expect(await found(undefined)).toEqual([true, true]);
  await rm(folder, { recursive: true });
  expect(await found(keyRing('a'))).toEqual([false, false]);
});

test('a node without the key, or with another, does not start, and the message names what is missing', async () => {
  const [a] = idsOf('a');
  const store = await open(keyRing('a'));
  await store.append(canaryTurn());
  await store.close();
  for (const ring of [undefined, keyRing('b'), onlyToRead(keyRing('b'))])
    await expect(open(ring)).rejects.toMatchObject({
      code: 'encryption_key_missing',
      message: expect.stringContaining(a as string),
    });
  const again = await open(keyRing('a'));
  expect((await again.read(sessionKey()))?.records).toHaveLength(1);
});

test('a row of somebody else, one cut short and one in the clear are damage of that session alone', async () => {
  const [mine, theirs, cut, plain] = ['mine', 'theirs', 'cut', 'plain'].map((id) =>
    sealedTurn({ key: sessionKey(id) }),
  );
  const store = await open(keyRing('a'));
  for (const sealed of [mine, theirs, cut, plain]) await store.append(sealed as SealedRecord);
  await store.close();
  await inTables(async ({ asTheyLie: { records }, write }) => {
    const at = (sealed: SealedRecord | undefined) => recordKey(sealed as SealedRecord);
    const row = records.get(at(mine)) as Uint8Array;
    await write(() => {
      records.put([...tableKey(sessionKey('theirs')), 1, (theirs as SealedRecord).hash], row);
      records.put(at(cut), (records.get(at(cut)) as Uint8Array).subarray(0, 20));
      records.put(at(plain), (plain as SealedRecord).bytes);
    });
  });
  const again = await open(keyRing('a'));
  expect(await again.read(sessionKey('mine'))).toMatchObject({ records: [{ hash: mine?.hash }], corrupt: 0 });
  for (const id of ['theirs', 'cut', 'plain'])
    expect(await again.read(sessionKey(id)), id).toMatchObject({ records: [], corrupt: 1 });
});

test('any record comes back as it was, and with any one bit flipped not at all', () => {
  const seal = new KeyedRowSeal(keyRing('a'), environment.random);
  fc.assert(
    fc.property(
      sessionRecords,
      fc.uint8Array({ maxLength: 60 }),
      fc.nat(),
      fc.nat({ max: 7 }),
      (record, key, at, bit) => {
        const { bytes } = sealRecord(record);
        const row = seal.seal(bytes, key);
        expect(Buffer.compare(seal.open(row, key) as Uint8Array, bytes)).toBe(0);
        expect(UNSEALED.open(row, key)).toBeUndefined();
        const flipped = Uint8Array.from(row);
        flipped[at % row.length] = (flipped[at % row.length] as number) ^ (1 << bit);
        expect(seal.open(flipped, key)).toBeUndefined();
        expect(seal.open(row, Uint8Array.from([...key, 0]))).toBeUndefined();
      },
    ),
  );
});

test('a plain store is sealed while it is used, and then takes no row in the clear and has none in its files', async () => {
  const plain = await open();
  await plain.append(canaryTurn('before'));
  await plain.close();
  const store = await open(keyRing('a'));
  await store.append(canaryTurn('beside'));
  expect((await store.read(sessionKey('before')))?.records).toHaveLength(1);
  await store.resealing?.done;
  expect(store.resealing?.recordsLeft).toBe(0);
  const found = await store.conversations.find({ keygroup: KEYGROUP, userId: 'user' as UserId, digest: DIGEST });
  expect(found.map(({ sessionId }) => sessionId).sort()).toEqual(['before', 'beside']);
  await store.close();
  const files = await bytesOfAllFiles();
  expect([files.includes(CANARY), (await forms()).digests.includes(DIGEST)]).toEqual([false, false]);
  expect((await forms()).records).toEqual(idsOf('a'));
  const again = await open(keyRing('a'));
  expect(again.resealing).toBeUndefined();
});

test('after a rotation the former key can go; before it is done it cannot', async () => {
  const store = await open(keyRing('a'));
  for (const sealed of sealedLine(20, { conversations: [DIGEST] })) await store.append(sealed);
  await store.close();
  const rotating = await open(keyRing('b', 'a'));
  const closing = rotating.close();
  await closing;
  await expect(open(keyRing('b'))).rejects.toMatchObject({ code: 'encryption_key_missing' });
  const going = await open(keyRing('b', 'a'));
  const wanted = { keygroup: KEYGROUP, userId: 'user' as UserId, digest: DIGEST };
  const before = await going.conversations.find(wanted);
  await going.resealing?.done;
  expect(await going.conversations.find(wanted)).toEqual(before);
  await going.close();
  expect((await forms()).records).toEqual(idsOf('b'));
  const alone = await open(keyRing('b'));
  expect((await alone.read(sessionKey()))?.records).toHaveLength(20);
  expect(await alone.conversations.find(wanted)).toEqual(before);
});

test('what is deleted while keys change stays deleted, and leaves no entry behind', async () => {
  const store = await open(keyRing('a'));
  for (const id of ['one', 'two'])
    for (const sealed of sealedLine(30, { key: sessionKey(id), conversations: [DIGEST] })) await store.append(sealed);
  await store.close();
  const rotating = await open(keyRing('b', 'a'));
  await rotating.append(sealedTombstone({ key: sessionKey('one') }));
  await rotating.resealing?.done;
  expect(await rotating.read(sessionKey('one'))).toMatchObject({ deleted: true });
  await rotating.close();
  const { digests } = await forms();
  expect(digests).toHaveLength(30);
  expect(digests.every((digest) => digest.startsWith(`${idsOf('b')[0]}.`))).toBe(true);
});

test('encryption ends only when that is said, and then nothing is sealed any more', async () => {
  const store = await open(keyRing('a'));
  await store.append(canaryTurn());
  await store.close();
  const ending = await open(onlyToRead(keyRing('a')));
  await ending.resealing?.done;
  await ending.close();
  expect((await forms()).records).toEqual([IN_THE_CLEAR]);
  expect((await forms()).digests).toEqual([DIGEST]);
  const plain = await open();
  expect((await plain.read(sessionKey()))?.records).toHaveLength(1);
});

test('a damaged row is passed over when keys change, and is damage afterwards as before', async () => {
  const [sound, damaged] = [sealedTurn(), sealedTurn({ key: sessionKey('damaged') })];
  const store = await open(keyRing('a'));
  await store.append(sound);
  await store.append(damaged);
  await store.close();
  await inTables(({ asTheyLie: { records }, write }) =>
    write(() => {
      const row = Uint8Array.from(records.get(recordKey(damaged)) as Uint8Array);
      row[row.length - 1] = (row[row.length - 1] as number) ^ 1;
      records.put(recordKey(damaged), row);
    }),
  );
  const rotating = await open(keyRing('b', 'a'));
  await rotating.resealing?.done;
  expect(await rotating.read(sessionKey('damaged'))).toMatchObject({ records: [], corrupt: 1 });
  expect((await rotating.read(sessionKey()))?.records).toHaveLength(1);
  const done = environment.logLines.find(({ event }) => event === 'resealing_done');
  expect(done?.fields).toEqual({ rewritten: 1, unreadable: 1 });
});

test('an entry by conversation whose record is gone does not stay in the clear', async () => {
  const store = await open();
  await store.append(canaryTurn());
  await store.close();
  await inTables(({ byConversation, write }) =>
    write(() => byConversation.put([KEYGROUP, 'user', DIGEST, 1, 'gone', 1, 'ab'.repeat(16)], new Uint8Array(0))),
  );
  const sealing = await open(keyRing('a'));
  await sealing.resealing?.done;
  await sealing.close();
  const { digests } = await forms();
  expect(digests).toHaveLength(1);
  expect(digests).not.toContain(DIGEST);
});

test('a row in the clear counts no more from the moment when all are sealed', async () => {
  const plain = await open();
  const sealed = sealedTurn();
  await plain.append(sealed);
  await plain.close();
  const { level, store } = await openEnvironment(keyRing('a'));
  await level.resealing?.done;
  expect(await store.read(sessionKey())).toMatchObject({ corrupt: 0 });
  await level.write({
    decide: (changes) => changes.rewrite(({ asTheyLie }) => asTheyLie.records.put(recordKey(sealed), sealed.bytes)),
  });
  expect(await store.read(sessionKey())).toMatchObject({ records: [], corrupt: 1 });
});

test('what is deleted in the commit that seals it anew is gone', async () => {
  const { level, store } = await openEnvironment(keyRing('a'));
  const sealed = sealedTurn();
  await store.append(sealed);
  await Promise.all([
    store.append(sealedTombstone()),
    level.write({
      decide: (changes) =>
        changes.rewrite(({ records }) => records.put(recordKey(sealed), records.get(recordKey(sealed)) as Uint8Array)),
    }),
  ]);
  await store.close();
  expect(await inTables(({ asTheyLie }) => asTheyLie.records.get(recordKey(sealed)))).toBeUndefined();
});

async function openEnvironment(encryption: KeyRing) {
  const options = { folder, nodeId: 'node-1' as NodeId, bytesMax: 1e9, encryption };
  const level = await openLevelEnvironment(options, environment);
  const store = new LevelContextStore(level, environment);
  onTestFinished(() => store.close());
  return { level, store };
}
