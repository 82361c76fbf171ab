import { createHash } from 'node:crypto';
import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { EdgeNodeConfig } from '../config/config.ts';
import type { Environment } from '../environment/environment.ts';
import type { KeepOptions } from '../llm-service/embedded/kept-state/open-keeper.ts';
import { availableMemoryBytes } from './available-memory.ts';

/** Of what is free where state is kept, or of the memory that is available where that is memory. */
const SHARE_OF_FREE = 1 / 8;
/** More would hold thousands of sessions, or hundreds of a large model: those that come back soon are far fewer. */
export const KV_BUDGET_MAX_BYTES = 4 * 1024 ** 3;
/** Of statfs(2). */
const MEMORY_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/**
 * Where one model's KV state is kept, and how much of it; `undefined` for none, and where files are encrypted and this one would lie on
 * a disk: llama.cpp writes it in the clear. A folder that cannot be used is said.
 */
export async function keptStateOf(
  modelPath: string,
  parts: {
    readonly modelName: string | undefined;
    readonly node: Pick<EdgeNodeConfig, 'kvBudgetBytes' | 'kvDir' | 'models' | 'encryption'>;
    readonly environment: Environment;
  },
): Promise<KeepOptions | undefined> {
  const { modelName, node, environment } = parts;
  const { kvBudgetBytes, kvDir, models, encryption } = node;
  if (kvBudgetBytes === 0 || kvDir === undefined) return undefined;
  try {
    if ((await encryption?.keys())?.current !== undefined && !(await isMemory(kvDir))) {
      environment.logger.warn('llm.keeps_no_state', { folder: kvDir, advice: NOT_IN_THE_CLEAR });
      // What was kept before there was encryption.
      await rm(kvDir, { recursive: true, force: true });
      return undefined;
    }
    const nodeBytes = kvBudgetBytes ?? (await budgetByRoom(kvDir));
    const name = createHash('sha256')
      .update(JSON.stringify([modelPath, modelName]))
      .digest('hex')
      .slice(0, 16);
    return { folder: join(kvDir, name), budgetBytes: Math.floor(nodeBytes / models.length) };
  } catch (error) {
    environment.logger.warn('llm.keeps_no_state', { folder: kvDir }, error);
    return undefined;
  }
}

const NOT_IN_THE_CLEAR = 'state is not encrypted: with encryption on, kv-dir must be a memory disk';

async function isMemory(kvDir: string): Promise<boolean> {
  await mkdir(kvDir, { recursive: true, mode: 0o700 });
  return MEMORY_FILE_SYSTEMS.has((await statfs(kvDir)).type);
}

async function budgetByRoom(kvDir: string): Promise<number> {
  await mkdir(kvDir, { recursive: true, mode: 0o700 });
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
