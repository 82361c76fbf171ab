// A store that is closed while its files are written anew for a change of keys: tries to have it wait for more than the part under way,
// or be closed beside that; and looks in all files whether the parts leave anything out.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { LevelEnvironment } from '../../../src/context-store/leveldb/leveldb-environment.ts';
import { partsOfContents } from '../../../src/context-store/leveldb/sealing/rewritten-parts.ts';
import { AFTER_ALL_KEYGROUPS, openTables } from '../../../src/context-store/leveldb/tables/tables.ts';
import { openLevelStore } from '../../../src/context-store/leveldb.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { sealedTombstone, sealedWords, sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import { filesWith } from '../../support/files-with.ts';
import { keyRing } from '../../support/key-rings.ts';
import { watchedLevel } from '../../support/watched-level.ts';

const nodeId = 'node-1' as NodeId;
const CANARY = 'canary-7f3a91';

let folder: string;
const environment = virtualEnvironment();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-resealing-'));
  onTestFinished(() => rm(folder, { recursive: true }));
});

/** Opens the store with a key; `rewriting` runs around each time that files of so many parts are written anew. */
async function openSealing(
  rewriting: (parts: number, rewrite: () => Promise<void>) => Promise<void>,
): Promise<LevelEnvironment> {
  const options = { folder, nodeId, bytesMax: 1e9, encryption: keyRing('a') };
  const { level } = await watchedLevel(options, environment, (tables) => ({
    ...tables,
    rewrite: (parts) => rewriting(parts.length, () => tables.rewrite(parts)),
  }));
  return level;
}

test('closing waits for the part under way and for no other, and the next start goes on', async () => {
  const options = { folder, nodeId, bytesMax: 1e9 };
  const plain = await openLevelStore(options, environment);
  await plain.append(sealedWords(sessionKey(), CANARY));
  await plain.close();
  const events: string[] = [];
  let closing: Promise<unknown> | undefined;
  const level = await openSealing(async (parts, rewrite) => {
    events.push(`begun ${parts} of ${(await level.read(partsOfContents)).length}`);
    closing ??= level.close().then(() => events.push('closed'));
    await rewrite();
    events.push('ended');
  });
  await level.resealing?.done;
  await closing;
  expect(events).toEqual(['begun 1 of 3', 'ended', 'closed']);
  const again = await openLevelStore({ ...options, encryption: keyRing('a') }, environment);
  await again.resealing?.done;
  await again.close();
  expect(await filesWith(folder, CANARY)).toEqual([]);
});

test('the parts leave nothing out, however many they are', async () => {
  const store = await openLevelStore({ folder, nodeId, bytesMax: 1e9 }, environment);
  for (let i = 0; i < 200; i++) {
    const key = sessionKey(`s${i}`, `user-${i % 7}`, i % 2 === 0 ? undefined : 'ffeeddccbbaa0099');
    await store.append(sealedWords(key, i % 3 === 0 ? `${CANARY}${i}` : randomBytes(20_000).toString('base64')));
    if (i % 3 === 0) await store.append(sealedTombstone({ key }));
  }
  await store.close();
  expect(await filesWith(folder, CANARY)).not.toEqual([]);
  const tables = await openTables(join(folder, 'leveldb'));
  const parts = await partsOfContents(tables, 100_000);
  expect(parts.length).toBeGreaterThan(60);
  for (const [at, { prefix, from, before }] of parts.entries()) {
    const next = parts[at + 1];
    expect(before).toEqual(next?.prefix === prefix ? next.from : [AFTER_ALL_KEYGROUPS]);
    if (parts[at - 1]?.prefix !== prefix) expect(from).toEqual([]);
  }
  await tables.rewrite(parts);
  await tables.close();
  expect(await filesWith(folder, CANARY)).toEqual([]);
  const again = await openLevelStore({ folder, nodeId, bytesMax: 1e9 }, environment);
  expect((await again.read(sessionKey('s1', 'user-1', 'ffeeddccbbaa0099')))?.records).toHaveLength(1);
  expect((await again.status()).sessions).toBe(133);
  await again.close();
});
