import { readFileSync } from 'node:fs';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import { ROW_FORMAT } from '../../scenario/run-row.ts';
import {
  type CheckRow,
  EXPERIMENT_FORMAT,
  type ExperimentEnd,
  type ExperimentRow,
  type ExperimentStart,
  type ExperimentTurn,
  type LoadRow,
  type NoteRow,
  type SyncRow,
} from './experiment-rows.ts';

export interface RecordedExperiment {
  readonly start: ExperimentStart;
  readonly turns: readonly ExperimentTurn[];
  readonly syncs: readonly SyncRow[];
  readonly loads: readonly LoadRow[];
  readonly checks: readonly CheckRow[];
  readonly notes: readonly NoteRow[];
  /** `undefined`: the run was cut off, by a crash or a kill. */
  readonly end: ExperimentEnd | undefined;
  readonly complete: boolean;
}

/** Reads an experiment's file; a last line that was cut off is left out. Throws `results_unusable`. */
export function readExperiment(path: string): RecordedExperiment {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw unusable(path, (cause as Error).message, cause);
  }
  // What follows the last line feed was being written when the run ended.
  const lines = text.split('\n').slice(0, -1);
  const [start, ...rest] = lines.map((line, index) => parseRow(path, line, index + 1));
  if (start?.kind !== 'experiment_start') throw unusable(path, 'it does not begin with an experiment_start row');
  const end = rest.find((row) => row.kind === 'experiment_end');
  return {
    start,
    turns: rest.filter((row) => row.kind === 'turn'),
    syncs: rest.filter((row) => row.kind === 'sync'),
    loads: rest.filter((row) => row.kind === 'load'),
    checks: rest.filter((row) => row.kind === 'check'),
    notes: rest.filter((row) => row.kind === 'note'),
    end,
    complete: end?.complete ?? false,
  };
}

function parseRow(path: string, line: string, number: number): ExperimentRow {
  let row: Readonly<Record<string, unknown>> | null;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw unusable(path, `line ${number} is not JSON`, cause);
  }
  const [field, format] = row?.kind === 'turn' ? ['format', ROW_FORMAT] : ['experiment_format', EXPERIMENT_FORMAT];
  const found = row?.[field];
  if (found !== format) {
    const has = found === undefined ? `has no ${field}` : `has ${field} ${found}`;
    throw unusable(path, `line ${number} ${has}; this version reads ${format}`);
  }
  return row as unknown as ExperimentRow;
}

function unusable(path: string, why: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('results_unusable', `${path} cannot be read as an experiment: ${why}`, { cause });
}
