import { approximateBytes, styled, table } from 'discedge/cli';
import type { VariantSummary } from '../../experiments/rows/experiment-summary.ts';
import type { ExperimentOutcome } from '../../experiments/run-experiment.ts';

const HEADER = [
  'PART',
  'LLM SERVICE',
  'SETTING',
  'VARIANT',
  'TURNS',
  'RESPONSE',
  'FIRST TOKEN',
  'TOK/S',
  'REQUEST',
  'SYNC',
];

/** What is printed when an experiment has ended. */
export function describeOutcome(
  { start, end, rows, path }: ExperimentOutcome,
  summaries: readonly VariantSummary[],
): string {
  const checks = rows.filter((row) => row.kind === 'check');
  const disagree = checks.filter(({ agrees }) => !agrees);
  const outcome = end.complete
    ? `complete: ${end.plays_done} plays`
    : `incomplete (${end.reason.replace('_', ' ')}): ${end.plays_done} of ${end.plays_planned} plays`;
  return [
    `${styled('bold', start.experiment)}, model ${start.model.name} ${start.model.quantization}${start.quick ? ', quick: these numbers show nothing' : ''}`,
    styled('dim', start.machine),
    '',
    ...(summaries.length === 0 ? [] : [table(HEADER, summaries.map(cells)), '']),
    ...(checks.length === 0
      ? []
      : [
          `token counts agree between the variants in ${checks.length - disagree.length} of ${checks.length} comparisons`,
        ]),
    styled(end.complete ? 'green' : 'yellow', outcome),
    `  ${path}`,
    '',
  ].join('\n');
}

function cells(summary: VariantSummary): (string | number)[] {
  const { part, llmService, setting, variant, turns, failed, turnsPerSecond, tokensPerSecond, syncBytes } = summary;
  return [
    ...[part, llmService, setting, variant],
    failed === 0 ? String(turns) : `${turns} (${failed} failed)`,
    shown(summary.responseMs, duration),
    shown(summary.firstTokenMs, duration),
    turnsPerSecond === undefined ? shown(tokensPerSecond, (value) => value.toFixed(1)) : `${turnsPerSecond} turns/s`,
    shown(summary.requestBytes, approximateBytes),
    shown(syncBytes, (bytes) => `${Math.round(bytes)} B${summary.syncIsWire ? '' : ' payload'}`),
  ];
}

function shown(value: number | undefined, text: (value: number) => string): string {
  return value === undefined ? '-' : text(value);
}

function duration(ms: number): string {
  return ms < 1_000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}
