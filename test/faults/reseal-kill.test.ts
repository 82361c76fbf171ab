// Tries to lose a record, or to leave one under a key that is said to be done with: a store in use is sealed, and sealed anew with one
// key after the other, by processes that are killed with SIGKILL at random points of that. After each kill every acknowledged
// record is there, whatever key it lies under; once a last process is done, the last key alone opens everything.
// RESEAL_KILLS sets how often (default 12).
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { formOf } from '../../src/context-store/leveldb/sealing/row-seal.ts';
import { openTables } from '../../src/context-store/leveldb/tables/tables.ts';
import { openLevelStore } from '../../src/context-store/leveldb.ts';
import type { NodeId } from '../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startProcess } from '../../tools/processes.ts';
import { sealedTurn, sessionKey } from '../../tools/turn-records.ts';
import { keyRing } from '../support/key-rings.ts';

const KILLS = Number(process.env.RESEAL_KILLS ?? 12);
/** Some dozens of batches. */
const RECORDS_BEFORE = 6_000;
/** A kill comes at the latest after so many appends, by when the records are sealed anew. */
const APPENDS_MAX = 12;
const LETTERS = 'abcdef';
const RESEALER = fileURLToPath(new URL('../support/store-resealer.ts', import.meta.url));

const temporary = temporaryFolder();
afterAll(() => temporary.remove());
const folder = join(temporary.path, 'data');
const acksPath = join(temporary.path, 'acks');
const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'writer' });
const open = (letters: string) =>
  openLevelStore(
    {
      folder,
      nodeId: 'writer' as NodeId,
      bytesMax: 1_000_000_000,
      encryption: letters === '' ? undefined : keyRing(...letters),
    },
    environment,
  );

/** The current key of each round, then all that came before it. */
const ringOf = (round: number) => [...LETTERS.slice(0, 1 + (round % LETTERS.length))].reverse().join('');

test(`a store that is sealed anew through ${KILLS} kills loses nothing, and in the end needs one key`, {
  timeout: 20_000 * KILLS,
}, async () => {
  const acknowledged = new Map<string, string>();
  const plain = await open('');
  await Promise.all(
    Array.from({ length: RECORDS_BEFORE }, async (_, i) => {
      const key = sessionKey(`before-${i}`);
      const sealed = sealedTurn({ key });
      await plain.append(sealed);
      acknowledged.set(key.sessionId, sealed.hash);
    }),
  );
  await plain.close();

  let mixed = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    // Two kills with each ring, so that one that was not done goes on.
    const ring = ringOf(Math.floor(kill / 2) % LETTERS.length);
    const resealer = await startProcess({
      name: 'store-resealer',
      command: process.execPath,
      args: [
        '--import',
        'tsx',
        RESEALER,
        folder,
        acksPath,
        `round${kill}`,
        ring,
        String(1 + Math.floor(Math.random() * APPENDS_MAX)),
      ],
    });
    await resealer.waitForLine(/announced/);
    resealer.kill('SIGKILL');
    await resealer.exited;
    for (const line of existsSync(acksPath) ? readFileSync(acksPath, 'utf8').trim().split('\n') : []) {
      const [sessionId = '', hash = ''] = line.split(' ');
      acknowledged.set(sessionId, hash);
    }
    if ((await forms()).size > 1) mixed++;
  }

  const last = ringOf(Math.floor((KILLS - 1) / 2) % LETTERS.length);
  const going = await open(last);
  for (const [sessionId, hash] of acknowledged)
    expect(
      (await going.read(sessionKey(sessionId)))?.records.map((sealed) => sealed.hash),
      sessionId,
    ).toEqual([hash]);
  await going.resealing?.done;
  await going.close();
  expect([...(await forms())]).toEqual([keyRing(last[0] as string).current?.id]);

  const alone = await open(last[0] as string);
  for (const [sessionId, hash] of acknowledged)
    expect(
      (await alone.read(sessionKey(sessionId)))?.records.map((sealed) => sealed.hash),
      sessionId,
    ).toEqual([hash]);
  expect((await alone.status()).corruptRecords).toBe(0);
  await alone.close();
  console.info(`${KILLS} kills, ${mixed} of them amid sealing; ${acknowledged.size} acknowledged records, none lost`);
  expect(mixed).toBeGreaterThan(0);
});

async function forms(): Promise<Set<string>> {
  const tables = await openTables(join(folder, 'leveldb'));
  const found = new Set<string>();
  for await (const { value } of tables.asTheyLie.records.entries()) found.add(formOf(value));
  await tables.close();
  return found;
}
