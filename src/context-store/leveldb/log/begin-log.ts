import type { SessionKey } from '../../../domain/identifiers.ts';
import type { LevelEnvironment } from '../leveldb-environment.ts';
import { readReadable, sessionKeyFrom } from '../tables/tables.ts';
import { appendUnlessLate, loadAll, NEVER_MS } from './append-all.ts';

/** What was there before there was a log is appended once more, which only logs it. */
export async function beginLog(level: LevelEnvironment): Promise<void> {
  const log = level.keepLog();
  const keys = await level.read(async (tables) => {
    const keys: SessionKey[] = [];
    for await (const key of tables.sessions.keys()) keys.push(sessionKeyFrom(key));
    return keys;
  });
  for (const key of keys) {
    const records = await level.read((tables) => readReadable(tables, key));
    await level.write({
      load: (changes) =>
        loadAll(
          changes,
          records.map((sealed) => ({ sealed })),
        ),
      decide(changes) {
        for (const sealed of records) appendUnlessLate(changes, sealed, NEVER_MS);
      },
    });
  }
  await log.complete();
}
