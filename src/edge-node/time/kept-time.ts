import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../../context-store/whole-file.ts';
import type { KeptTime } from '../../domain/time/node-time.ts';

const PRIVATE = 0o600;

/** Where a node keeps its time in its data folder. */
function fileIn(folder: string): string {
  return join(folder, 'time.json');
}

/** `undefined` where there is none, or none that can be read. */
export async function readKeptTime(folder: string): Promise<KeptTime | undefined> {
  try {
    const { timeMs, endedUpToMs, heldBack } = JSON.parse(await readFile(fileIn(folder), 'utf8')) as KeptTime;
    const all = [timeMs, endedUpToMs, ...heldBack.flatMap(({ ms, forMs }) => [ms, forMs])];
    return all.every((ms) => Number.isFinite(ms) && ms >= 0) ? { timeMs, endedUpToMs, heldBack } : undefined;
  } catch {
    return undefined;
  }
}

/** Whole or not at all. Throws what the disk says. */
export function writeKeptTime(folder: string, kept: KeptTime): Promise<void> {
  return writeWhole(fileIn(folder), `${JSON.stringify(kept)}\n`, PRIVATE);
}
