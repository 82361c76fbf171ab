import { quantile, rounded } from '../statistics.ts';

/** Whether what comes from elsewhere is warmed. */
export type Slice = 'off' | 'on';

export interface ForegroundTurn {
  readonly slice: Slice;
  readonly firstTextMs: number;
  /** To the end of the reply. */
  readonly wholeMs: number;
  /** For each id of the reply after the first. */
  readonly idMs: number;
  readonly evaluatedIds: number;
}

export interface ForegroundRow {
  readonly warming: Slice;
  readonly turns: number;
  readonly firstP50Ms: number;
  readonly firstP99Ms: number;
  readonly firstMeanMs: number;
  readonly wholeP50Ms: number;
  readonly wholeP99Ms: number;
  readonly idP50Ms: number;
  readonly idP99Ms: number;
  readonly evaluatedIds: number;
}

export const FOREGROUND_COLUMNS = [
  ...(['warming', 'turns', 'firstP50Ms', 'firstMeanMs', 'firstP99Ms', 'wholeP50Ms', 'wholeP99Ms'] as const),
  ...(['idP50Ms', 'idP99Ms', 'evaluatedIds'] as const),
];

/** A row for each kind of slice, and what the second is to the first. */
export function foregroundRows(turns: readonly ForegroundTurn[]): {
  readonly rows: readonly ForegroundRow[];
  readonly ratios: Omit<ForegroundRow, 'warming' | 'turns' | 'evaluatedIds'>;
} {
  const [off, on] = (['off', 'on'] as const).map((slice) => rowOf(slice, turns)) as [ForegroundRow, ForegroundRow];
  const ratio = (of: keyof Omit<ForegroundRow, 'warming'>) => rounded(on[of] / off[of]);
  return {
    rows: [off, on],
    ratios: {
      firstP50Ms: ratio('firstP50Ms'),
      firstMeanMs: ratio('firstMeanMs'),
      firstP99Ms: ratio('firstP99Ms'),
      wholeP50Ms: ratio('wholeP50Ms'),
      wholeP99Ms: ratio('wholeP99Ms'),
      idP50Ms: ratio('idP50Ms'),
      idP99Ms: ratio('idP99Ms'),
    },
  };
}

function rowOf(slice: Slice, all: readonly ForegroundTurn[]): ForegroundRow {
  const turns = all.filter((turn) => turn.slice === slice);
  const first = turns.map(({ firstTextMs }) => firstTextMs);
  const whole = turns.map(({ wholeMs }) => wholeMs);
  const ids = turns.map(({ idMs }) => idMs);
  return {
    warming: slice,
    turns: turns.length,
    firstP50Ms: rounded(quantile(first, 0.5)),
    firstMeanMs: rounded(mean(first)),
    firstP99Ms: rounded(quantile(first, 0.99)),
    wholeP50Ms: rounded(quantile(whole, 0.5)),
    wholeP99Ms: rounded(quantile(whole, 0.99)),
    idP50Ms: rounded(quantile(ids, 0.5)),
    idP99Ms: rounded(quantile(ids, 0.99)),
    evaluatedIds: rounded(mean(turns.map(({ evaluatedIds }) => evaluatedIds)), 1),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
