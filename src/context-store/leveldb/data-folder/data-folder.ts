import { readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiscedgeError } from '../../../domain/errors.ts';
import { makeFolder } from '../../make-folder.ts';

/** A data folder that this process may open the database of. */
export interface DataFolder {
  readonly path: string;
  /** Where LevelDB lives, whose lock keeps other processes away. */
  readonly databasePath: string;
  /** To be called once the database is open: for the message that another opener gets. */
  nameHolder(): Promise<void>;
  /** Lets another opener in this process have the folder; the database must be closed. Idempotent. */
  release(): Promise<void>;
}

/** LevelDB's own lock is lost when the same process opens the database once more, so that must not come so far. */
const takenHere = new Set<string>();

/**
 * Creates the folder if it is missing and takes it, as far as this process goes. Throws `data_dir_in_use` when another opener
 * here has it; `data_dir_unusable` when it cannot be created or written, or holds files of a database without its beginning.
 */
export async function takeDataFolder(folder: string): Promise<DataFolder> {
  const databasePath = join(folder, 'leveldb');
  let name: string;
  try {
    // Conversations lie here: nobody else's to read.
    await makeFolder(databasePath);
    name = await realpath(folder);
    await refuseBeheaded(databasePath);
  } catch (error) {
    throw unusable(folder, 'cannot be opened, created or written', error);
  }
  if (takenHere.has(name)) throw await inUse(folder);
  takenHere.add(name);
  let isNamed = false;
  return {
    path: folder,
    databasePath,
    async nameHolder() {
      isNamed = true;
      // A full disk must not keep a node from starting.
      await writeFile(holderPath(folder), `${process.pid}\n`, { mode: 0o600 }).catch(() => {});
    },
    async release() {
      takenHere.delete(name);
      if (isNamed) await rm(holderPath(folder), { force: true });
      isNamed = false;
    },
  };
}

/** `data_dir_in_use`, with the process that has named itself last. */
export async function inUse(folder: string): Promise<DiscedgeError> {
  const holder = await lastHolder(folder);
  return new DiscedgeError(
    'data_dir_in_use',
    `data folder ${folder} is open in ${holder === undefined ? 'another process' : `process ${holder}`}; ` +
      'stop that node or choose another folder with --data-dir',
  );
}

/**
 * Throws `data_dir_in_use` when the process that has named itself last still lives. For whoever does not open the database, and
 * so does not meet its lock.
 */
export async function refuseLivingHolder(folder: string): Promise<void> {
  const pid = await lastHolder(folder);
  if (pid === undefined || pid === process.pid) return;
  try {
    process.kill(pid, 0);
  } catch {
    return;
  }
  throw await inUse(folder);
}

async function lastHolder(folder: string): Promise<number | undefined> {
  const text = await readFile(holderPath(folder), 'utf8').catch(() => '');
  return /^\d+\s*$/.test(text) ? Number(text) : undefined;
}

/** `data_dir_unusable` with the system's reason. */
export function unusable(folder: string, what: string, cause: unknown): DiscedgeError {
  const reason = cause instanceof Error ? `: ${reasonOf(cause)}` : '';
  return new DiscedgeError(
    'data_dir_unusable',
    `data folder ${folder} ${what}${reason}; choose another with --data-dir`,
    {
      cause,
    },
  );
}

/** LevelDB's reason not to open is the cause of a general error. */
export function reasonOf(error: Error): string {
  const isGeneral = (error as NodeJS.ErrnoException).code === 'LEVEL_DATABASE_NOT_OPEN';
  return isGeneral && error.cause instanceof Error ? error.cause.message : error.message;
}

function holderPath(folder: string): string {
  return join(folder, 'lock');
}

/** Where the file is gone that says which files count, LevelDB would begin anew and delete the others. */
async function refuseBeheaded(databasePath: string): Promise<void> {
  const names = await readdir(databasePath);
  if (names.includes('CURRENT') || !names.some((name) => /\.(ldb|sst|log)$/.test(name))) return;
  throw new Error(`${databasePath} holds a context store whose file CURRENT is missing`);
}
