/**
 * Files of experiments that nobody should draw figures from: written by another version, cut off in a line, without a
 * beginning, without an end; and what is to be read of a whole one.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { EXPERIMENT_FORMAT } from '../../src/experiments/rows/experiment-rows.ts';
import { readExperiment } from '../../src/experiments/rows/read-experiment.ts';
import { ROW_FORMAT } from '../../src/scenario/run-row.ts';

const folder = mkdtempSync(join(tmpdir(), 'discedge-rows-'));
afterAll(() => rmSync(folder, { recursive: true }));

const START = { kind: 'experiment_start', experiment_format: EXPERIMENT_FORMAT, experiment: 'paper' };
const TURN = { kind: 'turn', format: ROW_FORMAT, turn: 1, labels: { part: 'edge-side' } };
const SYNC = { kind: 'sync', experiment_format: EXPERIMENT_FORMAT, turn: 1 };
const LOAD = { kind: 'load', experiment_format: EXPERIMENT_FORMAT, users: 4 };
const CHECK = { kind: 'check', experiment_format: EXPERIMENT_FORMAT, agrees: true };
const NOTE = { kind: 'note', experiment_format: EXPERIMENT_FORMAT, text: 'so it is' };
const END = { kind: 'experiment_end', experiment_format: EXPERIMENT_FORMAT, complete: true };

let files = 0;
function file(rows: readonly object[], tail = ''): string {
  const path = join(folder, `${++files}.ndjson`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join('') + tail);
  return path;
}

it('a whole file is read, each kind of row by itself', () => {
  expect(readExperiment(file([START, TURN, SYNC, LOAD, CHECK, NOTE, END]))).toEqual({
    start: START,
    turns: [TURN],
    syncs: [SYNC],
    loads: [LOAD],
    checks: [CHECK],
    notes: [NOTE],
    end: END,
    complete: true,
  });
});

it('a run that was cut off in the middle of a row is what it was before, and incomplete', () => {
  const read = readExperiment(file([START, TURN], JSON.stringify(TURN).slice(0, 20)));
  expect(read).toMatchObject({ turns: [TURN], end: undefined, complete: false });
});

it('a run whose end says that it is incomplete is incomplete', () => {
  expect(readExperiment(file([START, { ...END, complete: false }])).complete).toBe(false);
});

it.each([
  [
    'of another version',
    [{ ...START, experiment_format: EXPERIMENT_FORMAT + 1 }],
    /line 1 has experiment_format 2; .* 1$/,
  ],
  ['with turns of another version', [START, { ...TURN, format: ROW_FORMAT + 1 }], /line 2 has format/],
  ['without a version', [{ kind: 'experiment_start' }], /line 1 has no experiment_format/],
  ['that is a scenario run', [{ kind: 'run_start', format: ROW_FORMAT }], /line 1 has no experiment_format/],
  ['without a beginning', [TURN], /does not begin with an experiment_start row/],
  ['that is empty', [], /does not begin with an experiment_start row/],
])('a file %s is refused', (_, rows, message) => {
  expect(() => readExperiment(file(rows))).toThrow(
    expect.objectContaining({ code: 'results_unusable', message: expect.stringMatching(message) }),
  );
});

it('a file that is no NDJSON, or not there, is refused', () => {
  expect(() => readExperiment(file([START], 'turn,ms\n'))).toThrow(/line 2 is not JSON/);
  expect(() => readExperiment(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'results_unusable' }));
});
