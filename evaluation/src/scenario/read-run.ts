import { readFileSync } from 'node:fs';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { ROW_FORMAT, type RunEnd, type RunRow, type RunStart, type TurnRow } from './run-row.ts';

export interface RecordedRun {
  readonly start: RunStart;
  readonly turns: readonly TurnRow[];
  /** `undefined`: the run was cut off, by a crash or a kill. */
  readonly end: RunEnd | undefined;
  readonly complete: boolean;
}

/** Reads a run's NDJSON file; a last line that was cut off is left out. Throws `results_unusable`. */
export function readRun(path: string): RecordedRun {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw unusable(path, (cause as Error).message, cause);
  }
  // What follows the last line feed was being written when the run ended.
  const rows = text
    .split('\n')
    .slice(0, -1)
    .map((line, index) => parseRow(path, line, index + 1));
  const [start, ...rest] = rows;
  if (start?.kind !== 'run_start') throw unusable(path, 'it does not begin with a run_start row');
  const turns = rest.filter((row) => row.kind === 'turn');
  const end = rest.find((row) => row.kind === 'run_end');
  return { start, turns, end, complete: end?.complete ?? false };
}

function parseRow(path: string, line: string, number: number): RunRow {
  let row: Partial<RunRow> | null;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw unusable(path, `line ${number} is not JSON`, cause);
  }
  if (row?.format !== ROW_FORMAT) {
    const found = row?.format === undefined ? 'names no format' : `has format ${row.format}`;
    throw unusable(path, `line ${number} ${found}; this version reads format ${ROW_FORMAT}`);
  }
  return row as RunRow;
}

function unusable(path: string, why: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('results_unusable', `${path} cannot be read as a run: ${why}`, { cause });
}
