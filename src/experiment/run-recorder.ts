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

/** A name for a run's files: what was run and when, with nothing that a file system takes amiss. */
export function runName(parts: readonly string[], startedMs: number): string {
  const stamp = new Date(startedMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const words = [...parts, stamp].map((part) => part.replaceAll(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[.-]+/, ''));
  return words.filter((word) => word !== '').join('-');
}
