import { mkdir, readdir, rm, statfs } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { EdgeNodeConfig } from '../../config/config.ts';
import type { EncryptionKey } from '../../domain/encryption/key-ring.ts';
import type { Environment, Logger } from '../../environment/environment.ts';
import type { KeepOptions } from '../../llm-service/embedded/kept-state/open-keeper.ts';
import type { StateSealing } from '../../llm-service/embedded/kept-state/sealed-form.ts';
import { availableMemoryBytes } from '../models/available-memory.ts';
import { digestOf, firstMemory, isMemory, MEMORY_ROOTS, plainStateFolder } from './plain-state.ts';

/** Of what is free where state is kept, or of the memory that is available where that is memory. */
const SHARE_OF_FREE = 1 / 8;
/** More would hold thousands of sessions, or hundreds of a large model: those that come back soon are far fewer. */
export const KV_BUDGET_MAX_BYTES = 4 * 1024 ** 3;
/** Of the memory that is available, for a state on its way to a file or from one, in the clear. */
const SHARE_OF_MEMORY = 1 / 4;

/**
 * Where one model's KV state is kept, how much of it, and with what it is sealed where files are encrypted; `undefined` for none. A
 * folder that cannot be used is said.
 */
export async function keptStateOf(
  modelPath: string,
  parts: {
    readonly modelName: string | undefined;
    readonly node: Pick<EdgeNodeConfig, 'kvBudgetBytes' | 'kvDir' | 'models' | 'encryption'>;
    readonly environment: Environment;
    /** Folders that may be memory disks. */
    readonly memoryRoots?: readonly string[] | undefined;
  },
): Promise<KeepOptions | undefined> {
  const { modelName, node, environment, memoryRoots = MEMORY_ROOTS } = parts;
  const { kvBudgetBytes, kvDir, models, encryption } = node;
  if (kvBudgetBytes === 0 || kvDir === undefined) return undefined;
  try {
    await mkdir(kvDir, { recursive: true, mode: 0o700 });
    const key = (await isMemory(kvDir)) ? undefined : (await encryption?.keys())?.current;
    const root = key && (await firstMemory(memoryRoots));
    const isKept = key === undefined || root !== undefined;
    // What is left is in the clear, or of an earlier key, or of one when there is none any more.
    await removeOthers(kvDir, (name) =>
      key === undefined ? !name.startsWith(SEALED) : isKept && name === SEALED + key.id,
    );
    if (!isKept) {
      environment.logger.warn('llm.keeps_no_state', { folder: kvDir, advice: NEEDS_MEMORY });
      return undefined;
    }
    const nodeBytes = kvBudgetBytes ?? (await budgetByRoom(kvDir));
    const name = nameOf(modelPath, modelName);
    const folder = key === undefined ? join(kvDir, name) : join(kvDir, SEALED + key.id, name);
    const sealing = key && root !== undefined ? sealingIn(root, { key, kvDir, folder }) : undefined;
    return { folder, budgetBytes: Math.floor(nodeBytes / models.length), sealing };
  } catch (error) {
    environment.logger.warn('llm.keeps_no_state', { folder: kvDir }, error);
    return undefined;
  }
}

/** Removes the state of models that the node does not serve: nobody would tell whose sessions are gone. What cannot be removed is said. */
export async function removeOtherStates(kvDir: string, kept: readonly string[], logger: Logger): Promise<void> {
  try {
    const holders = [kvDir, ...kept.map((folder) => join(folder, '..'))];
    for (const holder of new Set(holders))
      await removeOthers(holder, (name) =>
        kept.some((folder) => `${folder}${sep}`.startsWith(join(holder, name, sep))),
      );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      logger.error('llm.states_not_removed', { folder: kvDir }, error);
  }
}

const NEEDS_MEMORY =
  'llama.cpp writes state in the clear: with encryption on that takes a memory disk (/dev/shm), to seal it from there or as kv-dir';
/** What a folder of sealed state is called, before its key's id. */
const SEALED = 'sealed-';

async function removeOthers(folder: string, isKept: (name: string) => boolean): Promise<void> {
  const others = (await readdir(folder)).filter((name) => !isKept(name));
  await Promise.all(others.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

function sealingIn(root: string, { key, ...of }: { key: EncryptionKey; kvDir: string; folder: string }): StateSealing {
  return {
    key: key.derive('kept state'),
    memoryFolder: plainStateFolder(root, of),
    memoryBytesMax: Math.floor(availableMemoryBytes() * SHARE_OF_MEMORY),
  };
}

const nameOf = (modelPath: string, modelName: string | undefined) => digestOf(JSON.stringify([modelPath, modelName]));

async function budgetByRoom(kvDir: string): Promise<number> {
  const { bavail, bsize } = await statfs(kvDir);
  return budgetFor({
    freeBytes: bavail * bsize,
    availableMemoryBytes: (await isMemory(kvDir)) ? availableMemoryBytes() : undefined,
  });
}

/** The default budget. `availableMemoryBytes`: where what is kept takes memory. */
export function budgetFor(room: {
  readonly freeBytes: number;
  readonly availableMemoryBytes: number | undefined;
}): number {
  const freeBytes = Math.min(room.freeBytes, room.availableMemoryBytes ?? Number.POSITIVE_INFINITY);
  return Math.min(KV_BUDGET_MAX_BYTES, Math.floor(freeBytes * SHARE_OF_FREE));
}
