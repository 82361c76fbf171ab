import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type LearnedMovement, parseLearnedMovement } from '../context-manager/warmer/learned-movement.ts';
import { writeWhole } from '../context-store/whole-file.ts';
import type { KeygroupId } from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import { repeat } from '../waiting/repeat.ts';

const PRIVATE = 0o600;
/** A node that is killed loses what it learned since. */
const KEEP_EVERY_MS = 300_000;
/** Ten nodes come to some 100 kB for a model. A larger file is none of these. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024;

export type MovementByKeygroup = ReadonlyMap<KeygroupId, LearnedMovement>;

/** Where a node keeps in its data folder what it has learned of where turns are taken. */
function fileIn(folder: string): string {
  return join(folder, 'movement.json');
}

/** Nothing where there is no file, or one that is damaged. */
export async function readMovement(folder: string): Promise<MovementByKeygroup> {
  try {
    if ((await stat(fileIn(folder))).size > FILE_BYTES_MAX) return new Map();
    const entries = Object.entries(JSON.parse(await readFile(fileIn(folder), 'utf8')) as Record<string, unknown>);
    return new Map(
      entries.flatMap(([keygroup, value]) => {
        const learned = parseLearnedMovement(value);
        return learned === undefined ? [] : [[keygroup as KeygroupId, learned] as const];
      }),
    );
  } catch {
    return new Map();
  }
}

/**
 * Writes every five minutes what has been learned, where there is something new, beside what was known `before` of models that are not
 * served now. Returns what writes it a last time and ends that.
 */
export function keepMovement(
  folder: string,
  { before, learned }: { readonly before: MovementByKeygroup; readonly learned: () => MovementByKeygroup },
  { clock, logger }: Pick<Environment, 'clock' | 'logger'>,
): () => Promise<void> {
  let written = '{}';
  let keeping = Promise.resolve();
  const keep = () => {
    const now = learned();
    const text = fittingText([...[...before].filter(([keygroup]) => !now.has(keygroup)), ...now]);
    if (text === written) return;
    written = text;
    keeping = keeping
      .then(() => writeWhole(fileIn(folder), text, PRIVATE))
      .catch((error) => logger.warn('movement_not_kept', {}, error));
  };
  const end = repeat({ clock, everyMs: KEEP_EVERY_MS }, keep);
  return async () => {
    await end();
    keep();
    await keeping;
  };
}

/** Without the first ones where all are too much. */
function fittingText(learned: readonly (readonly [KeygroupId, LearnedMovement])[]): string {
  const text = JSON.stringify(Object.fromEntries(learned));
  return Buffer.byteLength(text) <= FILE_BYTES_MAX ? text : fittingText(learned.slice(1));
}
