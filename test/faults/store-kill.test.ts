// Tries to lose an acknowledged record, or to find half a one: a process that appends, deletes and expires as fast as it
// can is killed with SIGKILL at random points, and the store it leaves is opened and compared with what it acknowledged.
// STORE_KILLS sets how often (default 30).
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import type { ContextStore } from '../../src/context-store/context-store.ts';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { KEYGROUP, sessionKey } from '../../tools/turn-records.ts';

const KILLS = Number(process.env.STORE_KILLS ?? 30);
/** Acknowledged appends before a kill, at most: from the first commits of a process to hundreds of them. */
const APPENDS_MAX = 400;
const WRITER = fileURLToPath(new URL('../support/store-writer.ts', import.meta.url));

const temporary = temporaryFolder();
afterAll(() => temporary.remove());
const folder = join(temporary.path, 'data');
const acksPath = join(temporary.path, 'acks');
const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'writer' });
const open = () => openLevelStore({ folder, nodeId: 'writer' as NodeId, bytesMax: 1_000_000_000 }, environment);

test(`after each of ${KILLS} kills every acknowledged record is there and whole`, {
  timeout: 20_000 * KILLS,
}, async () => {
  let records = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const announceAfter = 1 + Math.floor((Math.random() * APPENDS_MAX * (kill % 4)) / 3);
    const writer = await startProcess({
      name: 'store-writer',
      command: process.execPath,
      args: ['--import', 'tsx', WRITER, folder, acksPath, `round${kill}`, String(announceAfter)],
    });
    await writer.waitForLine(/announced/);
    writer.kill('SIGKILL');
    await writer.exited;

    const acknowledged = readAcks();
    rmSync(acksPath);
    records += [...acknowledged.values()].reduce((sum, { hashes }) => sum + hashes.length, 0);
    const store = await open();
    try {
      await expectAll(store, acknowledged);
      await expectTrueSums(store);
    } finally {
      await store.close();
    }
  }
  expect(records).toBeGreaterThan(KILLS);

  const store = await open();
  while ((await store.expire(Number.MAX_SAFE_INTEGER - 1)) > 0);
  expect(await store.status()).toMatchObject({ sessions: 0, records: 0, bytes: 0, corruptRecords: 0 });
  await store.close();
  console.info(`${KILLS} kills, ${records} acknowledged records, none lost`);
});

interface Acknowledged {
  readonly hashes: string[];
  deletion: 'none' | 'begun' | 'done';
}

function readAcks(): Map<string, Acknowledged> {
  const sessions = new Map<string, Acknowledged>();
  for (const line of readFileSync(acksPath, 'utf8').trim().split('\n')) {
    const [what, sessionId = '', hash = ''] = line.split(' ');
    const session = sessions.get(sessionId) ?? { hashes: [], deletion: 'none' };
    sessions.set(sessionId, session);
    if (what === 'turn') session.hashes.push(hash);
    else session.deletion = what === 'deleted' ? 'done' : 'begun';
  }
  return sessions;
}

async function expectAll(store: ContextStore, acknowledged: Map<string, Acknowledged>): Promise<void> {
  for (const [sessionId, { hashes, deletion }] of acknowledged) {
    const session = await store.read(sessionKey(sessionId));
    if (deletion === 'done' || (deletion === 'begun' && session?.deleted)) {
      expect(session, sessionId).toMatchObject({
        deleted: true,
        records: [{ record: { kind: 'tombstone' } }],
        corrupt: 0,
      });
    } else {
      expect(session, sessionId).toMatchObject({ deleted: false, corrupt: 0 });
      const held = session?.records.map((sealed) => sealed.hash) ?? [];
      expect(held.slice(0, hashes.length), sessionId).toEqual(hashes);
      // One more append may have been under way.
      expect(held.length - hashes.length, sessionId).toBeLessThanOrEqual(1);
    }
  }
}

/** Rows, records and sums were changed in one transaction, so they agree whenever the kill came. */
async function expectTrueSums(store: ContextStore): Promise<void> {
  let sessions = 0;
  for (let after: ReturnType<typeof sessionKey> | undefined; ; ) {
    const page = await store.list({ keygroup: KEYGROUP, after, limit: 500, nowMs: 0 });
    sessions += page.sessions.length;
    for (const { key, turns, bytes } of page.sessions) {
      const records = (await store.read(key))?.records ?? [];
      expect(records).toHaveLength(turns);
      expect(records.reduce((sum, sealed) => sum + sealed.bytes.length, 0)).toBe(bytes);
    }
    after = page.next;
    if (after === undefined) break;
  }
  expect((await store.status()).sessions).toBe(sessions);
}
