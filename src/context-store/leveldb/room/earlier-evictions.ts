import type { LevelEnvironment } from '../leveldb-environment.ts';
import { type OriginLog, readCursor, readLogStates } from '../log/origin-log.ts';
import type { Tables } from '../tables/tables.ts';
import type { EvictedLog } from './other-holders.ts';

/** Set in a store that has noted of each log what it has evicted since its first record. */
const EVICTIONS_NOTED = 'evictions-noted';

/**
 * Notes, once, what earlier builds have evicted and did not note: others would count on this node for it. Which records are missing
 * for that reason cannot be told from those that were deleted or have expired, so all count.
 */
export async function noteEarlierEvictions(level: LevelEnvironment): Promise<void> {
  if (level.look(({ meta }) => meta.get([EVICTIONS_NOTED])) !== undefined) return;
  let missing: EvictedLog[] = [];
  await level.write({
    load: async () => {
      missing = await level.read(missingOfAll);
    },
    decide({ log: changes }) {
      for (const { log, through } of missing) changes?.noteMissing(log, through);
      changes?.note(EVICTIONS_NOTED, 'yes');
    },
  });
}

async function missingOfAll(tables: Tables): Promise<EvictedLog[]> {
  const missing: EvictedLog[] = [];
  for (const { log } of await readLogStates(tables)) {
    const through = await lastMissing(tables, log);
    if (through > 0) missing.push({ log, through });
  }
  return missing;
}

/** The last sequence of a log, up to its cursor, that has no entry; 0 where each has one. Looks at the keys after it, once. */
async function lastMissing(tables: Tables, log: OriginLog): Promise<number> {
  const within = [log.origin, log.incarnation, log.keygroup] as const;
  let missing = readCursor(tables, log).sequence;
  for await (const [, , , sequence] of tables.log.keys({
    within,
    before: [...within, missing + 1],
    newestFirst: true,
  })) {
    if (sequence !== missing) break;
    missing--;
  }
  return missing;
}
