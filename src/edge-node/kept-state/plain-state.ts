import { createHash } from 'node:crypto';
import { access, constants, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../../environment/environment.ts';
import type { EngineProcess } from '../../llm-service/engine-process/engine-link.ts';

/** Where memory disks may be. */
export const MEMORY_ROOTS: readonly string[] = ['/dev/shm', tmpdir()];
/** Of statfs(2). */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/**
 * The folder on a memory disk that one model's state goes through in the clear, on its way to an encrypted file. Whose it is can be told
 * by its name: those of one `kvDir` are one node's.
 */
export function plainStateFolder(root: string, { kvDir, folder }: { kvDir: string; folder: string }): string {
  return join(root, nameFor(kvDir) + digestOf(folder));
}

/** The first root that is a memory disk which this node may write to. */
export async function firstMemory(roots: readonly string[]): Promise<string | undefined> {
  for (const root of roots) {
    const isUsable = access(root, constants.W_OK).then(() => isMemory(root));
    if (await isUsable.catch(() => false)) return root;
  }
  return undefined;
}

export async function isMemory(folder: string): Promise<boolean> {
  return MEMORY_FILE_SYSTEMS.has((await statfs(folder)).type);
}

/**
 * Removes what engines of a node that was killed have left in the clear, whatever models it had and whether or not it keeps state
 * now. To be called before an engine is started. What cannot be removed is said.
 */
export async function clearPlainState(
  kvDir: string,
  { roots = MEMORY_ROOTS, logger }: { readonly roots?: readonly string[]; readonly logger: Logger },
): Promise<void> {
  for (const root of roots) {
    const names = await readdir(root).catch(() => []);
    for (const name of names) if (name.startsWith(nameFor(kvDir))) await clear(join(root, name), logger);
  }
}

/** An engine that has ended only once what it has left in `folder`, killed amid a state, is gone. */
export function endedWithout(folder: string, engine: EngineProcess, logger: Logger): EngineProcess {
  const ended = engine.ended.then(async (how) => {
    await clear(folder, logger);
    return how;
  });
  return { ...engine, ended };
}

async function clear(folder: string, logger: Logger): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch((error: unknown) =>
    logger.error('llm.plain_state_not_removed', { folder }, error),
  );
}

const nameFor = (kvDir: string) => `discedge-${digestOf(kvDir)}-`;
export const digestOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);
