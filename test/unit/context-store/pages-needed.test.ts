// Tries to make a transaction take more pages from the end of a real environment than was foreseen: few and many puts and
// removes, of small and of large values, into small and large trees, one tree or several, with free pages and without.
import { join } from 'node:path';
import { open } from 'lmdb';
import { afterAll, expect, test } from 'vitest';
import { pagesNeeded, type TreeStats } from '../../../src/context-store/lmdb/pages-needed.ts';
import { PendingWrites } from '../../../src/context-store/lmdb/pending-writes.ts';
import { Chance } from '../../../tools/chance.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';

const temporary = temporaryFolder();
afterAll(() => temporary.remove());

test.each([1, 2, 3])('no transaction takes more pages than foreseen (seed %i)', async (seed) => {
  const chance = new Chance(seed);
  const environment = open<Uint8Array, string>({
    path: join(temporary.path, `${seed}`),
    encoding: 'binary',
    overlappingSync: false,
    eventTurnBatching: false,
    noSync: true,
  });
  const pending = new PendingWrites();
  const largest = environment.openDB<Uint8Array, [string, number]>('records', { encoding: 'binary' });
  const tables = [
    largest,
    ...['a', 'b', 'c'].map((name) => environment.openDB<Uint8Array, [string, number]>(name, { encoding: 'binary' })),
  ].map((database) => pending.table(database));
  const stats = () => largest.getStats() as TreeStats;
  const keys: [string, number][] = [];
  const newKey = (): [string, number] => [`${chance.below(1e9)}`.padEnd(chance.of([10, 100, 300]), 'x'), keys.length];
  for (let round = 0; round < 60; round++) {
    const valueBytes = () => chance.of([0, 300, 300, 300, 1_500, 3_000, chance.of([300, 100_000])]);
    const count = chance.of([1, 3, 30, 300]);
    const writes = pending.collect(() => {
      for (let i = 0; i < count; i++) {
        if (keys.length > 0 && chance.oneIn(round % 10 === 9 ? 1 : 4)) {
          const [key] = keys.splice(chance.below(keys.length), 1) as [[string, number]];
          for (const table of tables) table.remove(key);
        } else {
          const key = newKey();
          keys.push(key);
          for (const [index, table] of tables.entries())
            table.put(key, new Uint8Array(index === 0 ? valueBytes() : 20));
        }
      }
    });
    const before = stats();
    const needed = pagesNeeded(writes, before);
    await environment.batch(writes.apply);
    expect(stats().lastPageNumber - before.lastPageNumber).toBeLessThanOrEqual(needed);
    console.log(count, stats().lastPageNumber - before.lastPageNumber, needed, before.lastPageNumber);
  }
  await environment.close();
});
