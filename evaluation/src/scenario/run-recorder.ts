import { join } from 'node:path';
import { ResultsFile } from './results-file.ts';
import { csvHeader, csvRow } from './run-csv.ts';
import type { RunRow } from './run-row.ts';

/** Takes the rows of a run as they come. */
export interface RowSink {
  append(row: RunRow): void;
}

/** Writes a run's rows as CSV and NDJSON, each as it comes: an interrupted run keeps what it has. */
export class RunRecorder implements RowSink {
  readonly #csv: ResultsFile;
  readonly #ndjson: ResultsFile;

  /** Makes `FOLDER/RUN.csv` and `.ndjson`. Throws `results_unusable`, here and later. */
  constructor(folder: string, run: string) {
    this.#csv = new ResultsFile(join(folder, `${run}.csv`));
    this.#ndjson = new ResultsFile(join(folder, `${run}.ndjson`));
    this.#csv.append(csvHeader());
  }

  get paths(): readonly string[] {
    return [this.#csv.path, this.#ndjson.path];
  }

  append(row: RunRow): void {
    this.#ndjson.append(`${JSON.stringify(row)}\n`);
    this.#csv.append(csvRow(row));
  }

  close(): void {
    this.#csv.close();
    this.#ndjson.close();
  }
}

/** Characters of each part: several parts stay below the 255 bytes that file systems allow, whatever the script. */
const PART_CHARS_MAX = 40;

/** A name for a run's files: what was run and when, to the millisecond, with nothing that a file system takes amiss. */
export function runName(parts: readonly string[], startedMs: number): string {
  const [date = '', time = ''] = new Date(startedMs).toISOString().replaceAll(/[-:Z]/g, '').split('T');
  const stamp = `${date}-${time.replace('.', '-')}`;
  const words = parts.map((part) =>
    part
      .replaceAll(/[^\p{L}\p{N}._-]+/gu, '-')
      .slice(0, PART_CHARS_MAX)
      .replaceAll(/^[.-]+|[.-]+$/g, ''),
  );
  return [...words, stamp].filter((word) => word !== '').join('-');
}
