import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import { DiscedgeError } from '../../domain/errors.ts';
import { makeFolder } from '../make-folder.ts';

/** A data folder held by this process. */
export interface DataFolder {
  /** Where the LMDB environment lives. */
  readonly storePath: string;
  /** Lets another process have the folder. Idempotent. */
  release(): Promise<void>;
}

/**
 * Creates the folder if it is missing and takes it for this process alone. The lock is the operating system's and lives
 * in an open file, so it is gone whenever the process is, however that ended. Throws `data_dir_in_use` when another
 * opener, in this process or in another, has it; `data_dir_unusable` when it cannot be created, written or locked.
 */
export async function takeDataFolder(folder: string): Promise<DataFolder> {
  const file = await openLockFile(folder);
  try {
    if (!tryLock(file.fd)) {
      const holder = (await file.readFile('utf8')).trim();
      throw new DiscedgeError(
        'data_dir_in_use',
        `data folder ${folder} is open in ${/^\d+$/.test(holder) ? `process ${holder}` : 'another process'}; ` +
          'stop that node or choose another folder with --data-dir',
      );
    }
    await nameHolder(file);
  } catch (error) {
    await file.close();
    throw error instanceof DiscedgeError ? error : unusable(folder, 'cannot be locked', error);
  }
  return { storePath: storePathOf(folder), release: () => file.close() };
}

function storePathOf(folder: string): string {
  return join(folder, 'store');
}

async function openLockFile(folder: string): Promise<FileHandle> {
  try {
    // Conversations lie here: nobody else's to read.
    await makeFolder(storePathOf(folder));
    return await open(join(folder, 'lock'), 'a+', 0o600);
  } catch (error) {
    throw unusable(folder, 'cannot be created or written', error);
  }
}

/** For the message another opener gets. A full disk must not keep a node from starting, so this may fail. */
async function nameHolder(file: FileHandle): Promise<void> {
  try {
    await file.truncate(0);
    await file.write(`${process.pid}\n`);
  } catch {}
}

/** `data_dir_unusable` with the system's reason. */
export function unusable(folder: string, what: string, cause: unknown): DiscedgeError {
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new DiscedgeError(
    'data_dir_unusable',
    `data folder ${folder} ${what}${reason}; choose another with --data-dir`,
    {
      cause,
    },
  );
}
