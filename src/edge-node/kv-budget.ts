import { createHash } from 'node:crypto';
import { access, constants, mkdir, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EdgeNodeConfig } from '../config/config.ts';
import type { EncryptionKey } from '../domain/encryption/key-ring.ts';
import type { Environment } from '../environment/environment.ts';
import type { KeepOptions } from '../llm-service/embedded/kept-state/open-keeper.ts';
import type { StateSealing } from '../llm-service/embedded/kept-state/sealed-form.ts';
import { availableMemoryBytes } from './available-memory.ts';

/** Of what is free where state is kept, or of the memory that is available where that is memory. */
const SHARE_OF_FREE = 1 / 8;
/** More would hold thousands of sessions, or hundreds of a large model: those that come back soon are far fewer. */
export const KV_BUDGET_MAX_BYTES = 4 * 1024 ** 3;
/** Of the memory that is available, for a state on its way to a file or from one, in the clear. */
const SHARE_OF_MEMORY = 1 / 4;
/** Of statfs(2). */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

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
    const sealing = key && root !== undefined ? sealingIn(root, { key, folder }) : undefined;
    return { folder, budgetBytes: Math.floor(nodeBytes / models.length), sealing };
  } catch (error) {
    environment.logger.warn('llm.keeps_no_state', { folder: kvDir }, error);
    return undefined;
  }
}

const NEEDS_MEMORY =
  'llama.cpp writes state in the clear: with encryption on that takes a memory disk (/dev/shm), to seal it from there or as kv-dir';
const MEMORY_ROOTS = ['/dev/shm', tmpdir()];
/** What a folder of sealed state is called, before its key's id. */
const SEALED = 'sealed-';

async function isMemory(folder: string): Promise<boolean> {
  return MEMORY_FILE_SYSTEMS.has((await statfs(folder)).type);
}

async function firstMemory(roots: readonly string[]): Promise<string | undefined> {
  for (const root of roots) {
    const isUsable = access(root, constants.W_OK).then(() => isMemory(root));
    if (await isUsable.catch(() => false)) return root;
  }
  return undefined;
}

async function removeOthers(folder: string, isKept: (name: string) => boolean): Promise<void> {
  const others = (await readdir(folder)).filter((name) => !isKept(name));
  await Promise.all(others.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

/** The node's folders differ, so it does not share the one in memory. */
function sealingIn(root: string, { key, folder }: { key: EncryptionKey; folder: string }): StateSealing {
  return {
    key: key.derive('kept state'),
    memoryFolder: join(root, `discedge-${digestOf(folder)}`),
    memoryBytesMax: Math.floor(availableMemoryBytes() * SHARE_OF_MEMORY),
  };
}

const nameOf = (modelPath: string, modelName: string | undefined) => digestOf(JSON.stringify([modelPath, modelName]));
const digestOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

async function budgetByRoom(kvDir: string): Promise<number> {
  const { type, bavail, bsize } = await statfs(kvDir);
  return budgetFor({
    freeBytes: bavail * bsize,
    availableMemoryBytes: MEMORY_FILE_SYSTEMS.has(type) ? availableMemoryBytes() : undefined,
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
