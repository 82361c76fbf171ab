/**
 * Writes rows of runs and reads them back: tries to get a row lost or written over, a CSV cell split, a cut-off run taken
 * for a whole one, and rows of another version read as if they were ours.
 */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRun } from '../../src/scenario/read-run.ts';
import { RunRecorder, runName } from '../../src/scenario/run-recorder.ts';
import { ROW_FORMAT, type RunEnd, type RunFacts, type RunStart, type TurnRow } from '../../src/scenario/run-row.ts';
import { median, summarizeTurns } from '../../src/scenario/run-summary.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'discedge-test-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const FACTS: RunFacts = {
  ...{
    format: ROW_FORMAT,
    run: 'r-1',
    scenario: 'Robots, "small" ones',
    mode: 'raw',
    version: '0.1.0',
    commit: 'abc+',
  },
  ...{ machine: '2 × CPU, 8 GiB', model: 'demo', seed: 123, temperature: 0, max_tokens: 128 },
  ...{ consistency: 'strong', max_wait_ms: 30, stream: true },
};
const START: RunStart = {
  ...{ kind: 'run_start', ...FACTS, at: '2026-01-01T00:00:00.000Z', users: 1, repeats: 1, turns_planned: 2 },
  nodes: [{ name: 'edge-1', url: 'http://h:1', node: 'e1', keygroup: '0'.repeat(16) }],
};
const turnRow = (turn: number, fields: Partial<TurnRow> = {}): TurnRow => ({
  ...{ kind: 'turn', ...FACTS, at: '2026-01-01T00:00:01.000Z', user: 1, repeat: 1, turn, node: 'edge-1' },
  ...{ node_url: 'http://h:1', node_id: 'e1', moved: false, think_ms: 0, session_id: 's', context_id: 'c' },
  ...{ response_ms: 12.5, first_token_ms: 3.25, request_bytes: 400, reply_bytes: 5000, request_body_bytes: 235 },
  ...{ prompt_chars: 66, prompt_tokens: 19, cached_tokens: 0, evaluated_tokens: 19, reply_tokens: 78, prompt_ms: 2 },
  ...{ predicted_ms: 9, tokens_per_second: 8666.7, retries: 0, waited_ms: 0, client_retries: 0, based_on_turn: 0 },
  ...{ dropped_turns: 0, replayed: false, exact_ids: true, stop_type: 'eos', error: '' },
  ...fields,
});
const END: RunEnd = {
  ...{ kind: 'run_end', ...FACTS, at: '2026-01-01T00:00:02.000Z', complete: true, reason: 'done' },
  ...{ turns_answered: 2, turns_failed: 0, wall_ms: 2000 },
};

function record(...rows: Parameters<RunRecorder['append']>[0][]): { csv: string; ndjson: string } {
  const recorder = new RunRecorder(folder, 'r-1');
  for (const row of rows) recorder.append(row);
  recorder.close();
  const [csv, ndjson] = recorder.paths as [string, string];
  return { csv, ndjson };
}

describe('what is written', () => {
  it("begins each CSV line with the prototype's columns", () => {
    const { csv } = record(START, turnRow(1), END);
    const [header, start, turn, end] = readFileSync(csv, 'utf8').split('\n') as [string, string, string, string];
    expect(header).toMatch(
      /^Timestamp,Operation,DurationMs,ContextMethod,ScenarioName,SessionID,RequestSizeBytes,PromptChars,ContextTokens,Turn,Details,run,/,
    );
    expect(start).toContain('2026-01-01T00:00:00.000Z,run_start,,raw,"Robots, ""small"" ones",,,,,,2 turns planned');
    expect(turn).toContain(
      '2026-01-01T00:00:01.000Z,turn,12.5,raw,"Robots, ""small"" ones",s,235,66,19,1,at edge-1,r-1,',
    );
    expect(end).toContain('run_end,2000,raw,"Robots, ""small"" ones",,,,,,"complete: 2 turns answered, 0 failed",');
    expect(end).toMatch(/,true$/);
    const cells = (line: string) => line.replaceAll(/"(?:[^"]|"")*"/g, '').split(',').length;
    expect(new Set([header, start, turn, end].map(cells)).size).toBe(1);
  });

  it('is in the files as soon as it is appended', () => {
    const recorder = new RunRecorder(folder, 'r-1');
    recorder.append(START);
    recorder.append(turnRow(1));
    const [csv, ndjson] = recorder.paths.map((path) => readFileSync(path, 'utf8')) as [string, string];
    expect(csv.split('\n')).toHaveLength(4);
    expect(readRun(recorder.paths[1] as string)).toMatchObject({ complete: false, end: undefined });
    expect(ndjson.endsWith('\n')).toBe(true);
    recorder.close();
  });

  it('is never written over', () => {
    record(START);
    expect(() => new RunRecorder(folder, 'r-1')).toThrow(/r-1\.csv: it is there already/);
  });

  it('says where it cannot be written', () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    try {
      new RunRecorder(file, 'r-1');
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'results_unusable', message: expect.stringContaining(`written to ${file}`) });
    }
  });

  it('has a name that every file system takes', () => {
    const at = Date.UTC(2026, 0, 2, 3, 4, 5, 6);
    expect(runName(['robot', 'raw'], at)).toBe('robot-raw-20260102-030405-006');
    expect(runName(['../Robots: "1/2"', 'raw'], at)).toBe('Robots-1-2-raw-20260102-030405-006');
    expect(runName(['..', 'raw'], at)).toBe('raw-20260102-030405-006');
    expect(Buffer.byteLength(runName(['語'.repeat(200), 'client-side'], at))).toBeLessThan(200);
    expect(runName(['Käse', 'raw'], at)).toBe('Käse-raw-20260102-030405-006');
  });
});

describe('what is read', () => {
  it('is what was written', () => {
    const rows = [turnRow(1), turnRow(2, { error: 'context_stale', reply_tokens: null })];
    const { ndjson } = record(START, ...rows, END);
    expect(readRun(ndjson)).toEqual({ start: START, turns: rows, end: END, complete: true });
  });

  it('is incomplete without a last row, and with one that says so', () => {
    expect(readRun(record(START, turnRow(1)).ndjson)).toMatchObject({ complete: false, turns: [{ turn: 1 }] });
    rmSync(join(folder, 'r-1.csv'));
    rmSync(join(folder, 'r-1.ndjson'));
    const interrupted: RunEnd = { ...END, complete: false, reason: 'interrupted' };
    expect(readRun(record(START, interrupted).ndjson)).toMatchObject({ complete: false, end: interrupted });
  });

  it('leaves out a line that was cut off wherever it was', () => {
    const { ndjson } = record(START, turnRow(1));
    const whole = readFileSync(ndjson, 'utf8');
    for (const cut of [1, 10, JSON.stringify(turnRow(1)).length - 1]) {
      writeFileSync(ndjson, whole);
      truncateSync(ndjson, whole.length - 1 - cut);
      expect(readRun(ndjson)).toMatchObject({ turns: [], complete: false });
    }
  });

  it.each<[string, string, RegExp]>([
    [
      'rows of another version',
      `${JSON.stringify({ ...START, format: 2 })}\n`,
      /line 1 has format 2; this version reads format 1/,
    ],
    ['rows without a version', '{"kind":"run_start"}\n', /line 1 names no format/],
    ['what is no row', '{"kind": \n', /line 1 is not JSON/],
    ['null', 'null\n', /line 1 names no format/],
    ['an empty file', '', /does not begin with a run_start row/],
    ['a run without its beginning', `${JSON.stringify(turnRow(1))}\n`, /does not begin with a run_start row/],
  ])('%s is refused', (_, text, message) => {
    const path = join(folder, 'other.ndjson');
    writeFileSync(path, text);
    expect(() => readRun(path)).toThrow(message);
  });

  it('a damaged line in the middle is refused, not skipped', () => {
    const { ndjson } = record(START, turnRow(1));
    appendFileSync(ndjson, '{"kind":"tu\n');
    appendFileSync(ndjson, `${JSON.stringify(END)}\n`);
    expect(() => readRun(ndjson)).toThrow(/line 3 is not JSON/);
  });

  it('a file that is not there is said', () => {
    expect(() => readRun(join(folder, 'none.ndjson'))).toThrow(/none\.ndjson cannot be read as a run: ENOENT/);
  });
});

describe('the summary', () => {
  it('has the middle of each turn, of the turns that were answered', () => {
    const rows = [
      turnRow(2, { response_ms: 30, node: 'edge-2' }),
      ...[10, 90, 20].map((ms) => turnRow(1, { response_ms: ms })),
      turnRow(1, { response_ms: 5000, error: 'llm_timeout', reply_tokens: null }),
    ];
    const [first, second, all] = summarizeTurns(rows);
    expect(first).toMatchObject({ turn: 1, nodes: ['edge-1'], answered: 3, failed: 1, responseMs: 20 });
    expect(second).toMatchObject({ turn: 2, nodes: ['edge-2'], answered: 1, failed: 0, responseMs: 30 });
    expect(all).toMatchObject({ turn: undefined, nodes: ['edge-2', 'edge-1'], responseMs: 25, requestBytes: 400 });
  });

  it('has no number where there is none', () => {
    expect(summarizeTurns([])).toEqual([]);
    expect(summarizeTurns([turnRow(1, { first_token_ms: null })])[0]?.firstTokenMs).toBeUndefined();
  });

  it('takes the mean of the two in the middle', () => {
    expect([[], [3], [4, 1], [3, 1, 2], [1, 2, 3, 10]].map(median)).toEqual([undefined, 3, 2.5, 2, 2.5]);
  });
});
