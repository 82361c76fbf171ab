import { onTestFinished } from 'vitest';
import { takeDataFolder } from '../../src/context-store/leveldb/data-folder/data-folder.ts';
import { openDatabase } from '../../src/context-store/leveldb/data-folder/open-database.ts';
import { LevelEnvironment } from '../../src/context-store/leveldb/leveldb-environment.ts';
import { DiskReserve } from '../../src/context-store/leveldb/room/disk-reserve.ts';
import type { Tables } from '../../src/context-store/leveldb/tables/tables.ts';
import type { LevelStoreOptions } from '../../src/context-store/leveldb.ts';
import type { Environment } from '../../src/environment/environment.ts';

/** Opens LevelDB as a store does, over tables that the test sees or changes; closed when the test has ended. */
export async function watchedLevel(
  options: LevelStoreOptions,
  environment: Environment,
  watched: (tables: Tables) => Tables,
): Promise<{ readonly level: LevelEnvironment; readonly disk: DiskReserve }> {
  const folder = await takeDataFolder(options.folder);
  const disk = new DiskReserve(folder.path, environment);
  const opened = await openDatabase(folder, { ...options, disk }, environment);
  const tables = watched(opened.tables);
  const level = await LevelEnvironment.on({ ...options, ...opened, folder, disk, tables }, environment);
  onTestFinished(() => level.close());
  return { level, disk };
}
