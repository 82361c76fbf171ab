/** What is made of rows: comparisons of token counts with turns missing or different, and the table at the end of a run. */
import { describe, expect, it } from 'vitest';
import type { ExperimentRow, ExperimentTurn, PlayLabels } from '../../src/experiments/rows/experiment-rows.ts';
import { summarizeExperiment } from '../../src/experiments/rows/experiment-summary.ts';
import { checkTokenCounts } from '../../src/experiments/rows/token-counts.ts';

const LABELS: PlayLabels = {
  part: 'roaming',
  variant: 'tokenized',
  setting: 'ours',
  llm_service: 'embedded',
  repeat: 1,
  reply_source: 'model',
  order: 1,
};

function turn(number: number, labels: Partial<PlayLabels>, fields: Partial<ExperimentTurn> = {}): ExperimentTurn {
  const counts = { prompt_tokens: number * 100, reply_tokens: 128 };
  return {
    kind: 'turn',
    turn: number,
    error: '',
    ...counts,
    ...fields,
    labels: { ...LABELS, ...labels },
  } as ExperimentTurn;
}

describe('token counts', () => {
  it('agree where all variants read and wrote equally many ids', () => {
    const rows = [1, 2].flatMap((number) => [turn(number, {}), turn(number, { variant: 'raw' })]);
    expect(checkTokenCounts(rows)).toEqual([
      {
        ...{ part: 'roaming', setting: 'ours', llm_service: 'embedded', repeat: 1 },
        ...{ variants: ['raw', 'tokenized'], agrees: true, differences: [] },
      },
    ]);
  });

  it('that differ are named by turn, in the order of the variants', () => {
    const rows = [
      turn(1, {}),
      turn(1, { variant: 'raw' }),
      turn(2, {}),
      turn(2, { variant: 'raw' }, { prompt_tokens: 201 }),
    ];
    expect(checkTokenCounts(rows)[0]).toMatchObject({
      agrees: false,
      differences: [{ turn: 2, prompt_tokens: [201, 200], reply_tokens: [128, 128] }],
    });
  });

  it('of a turn that one variant never answered do not agree', () => {
    expect(checkTokenCounts([turn(1, {}), turn(1, { variant: 'raw' }), turn(2, {})])[0]?.agrees).toBe(false);
    const failed = turn(1, { variant: 'raw' }, { error: 'context_stale', prompt_tokens: null, reply_tokens: null });
    expect(checkTokenCounts([turn(1, {}), failed])[0]?.agrees).toBe(false);
  });

  it('are compared within a setting, a repeat and an LLM Service; a setting that concerns nobody, with each', () => {
    const rows = [
      turn(1, {}),
      turn(1, { setting: 'paper' }, { prompt_tokens: 7 }),
      turn(1, { setting: 'any', variant: 'client-side' }),
      turn(1, { repeat: 2 }, { prompt_tokens: 9 }),
      turn(1, { llm_service: 'llama-server' }, { prompt_tokens: 9 }),
    ];
    expect(checkTokenCounts(rows).map(({ setting, variants, agrees }) => [setting, variants, agrees])).toEqual([
      ['ours', ['client-side', 'tokenized'], true],
      ['paper', ['client-side', 'tokenized'], false],
    ]);
  });
});

describe('the summary', () => {
  const sync = (repeat: number, turnNumber: number | null, wire: number | null, payload = 50): ExperimentRow =>
    ({
      kind: 'sync',
      turn: turnNumber,
      wire_bytes: wire,
      payload_bytes: payload,
      labels: { ...LABELS, repeat },
    }) as ExperimentRow;

  it('has medians over turns that were answered, and counts those that were not', () => {
    const rows = [10, 30, 20].map((response_ms, index) => turn(index + 1, {}, { response_ms, request_bytes: 400 }));
    const failed = turn(4, {}, { response_ms: 9_000, error: 'context_stale' });
    expect(summarizeExperiment([...rows, failed])).toMatchObject([
      { turns: 3, failed: 1, responseMs: 20, requestBytes: 400 },
    ]);
  });

  it('has the bytes of whole sessions, between all nodes, a session on average', () => {
    const rows = [sync(1, 1, 999), sync(1, null, 300), sync(1, null, 100), sync(2, null, 200)];
    expect(summarizeExperiment(rows)).toMatchObject([{ syncBytes: 300, syncIsWire: true }]);
  });

  it('falls back to the payload and says so', () => {
    expect(summarizeExperiment([sync(1, null, null)])).toMatchObject([{ syncBytes: 50, syncIsWire: false }]);
  });

  it('sorts settings by their numbers', () => {
    const rows = [16, 2, 1].map((users) => turn(1, { part: 'parallel-users', setting: `users-${users}` }));
    expect(summarizeExperiment(rows).map(({ setting }) => setting)).toEqual(['users-1', 'users-2', 'users-16']);
  });
});
