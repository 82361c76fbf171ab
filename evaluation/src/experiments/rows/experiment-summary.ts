import { median } from '../../scenario/run-summary.ts';
import type { ExperimentRow, ExperimentTurn, SyncRow } from './experiment-rows.ts';

/** One variant under one setting with one LLM Service; medians over turns or, where it says so, over sessions. */
export interface VariantSummary {
  readonly part: string;
  readonly llmService: string;
  readonly setting: string;
  readonly variant: string;
  readonly turns: number;
  readonly failed: number;
  readonly responseMs: number | undefined;
  readonly firstTokenMs: number | undefined;
  readonly tokensPerSecond: number | undefined;
  readonly turnsPerSecond: number | undefined;
  /** Of a turn. */
  readonly requestBytes: number | undefined;
  /** Of a session: between all nodes; what is on the wire where that is known. */
  readonly syncBytes: number | undefined;
  readonly syncIsWire: boolean;
}

/** In the order of the parts, then of LLM Service, setting and variant as they came. */
export function summarizeExperiment(rows: readonly ExperimentRow[]): VariantSummary[] {
  const groups = new Map<string, ExperimentRow[]>();
  for (const row of rows) {
    if (row.kind !== 'turn' && row.kind !== 'sync' && row.kind !== 'load') continue;
    const { part, llm_service, setting, variant } = row.labels;
    const key = JSON.stringify([part, llm_service, setting, variant]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.entries()]
    .map(([key, group]) => summary(JSON.parse(key), group))
    .sort((a, b) => compareBy(a, b, ['part', 'llmService', 'setting', 'variant']));
}

function summary(
  [part, llmService, setting, variant]: [string, string, string, string],
  rows: readonly ExperimentRow[],
) {
  const turns = rows.filter((row): row is ExperimentTurn => row.kind === 'turn');
  const answered = turns.filter(({ error }) => error === '');
  const sessions = rows.filter((row): row is SyncRow => row.kind === 'sync' && row.turn === null);
  const syncIsWire = sessions.some(({ wire_bytes }) => wire_bytes !== null);
  const repeats = new Set(sessions.map(({ labels }) => labels.repeat)).size;
  const syncBytes = sessions.reduce((sum, row) => sum + ((syncIsWire ? row.wire_bytes : row.payload_bytes) ?? 0), 0);
  const of = (field: 'response_ms' | 'first_token_ms' | 'tokens_per_second' | 'request_bytes') =>
    median(answered.flatMap((row) => (row[field] === null ? [] : [row[field]])));
  return {
    part,
    llmService,
    setting,
    variant,
    turns: answered.length,
    failed: turns.length - answered.length,
    responseMs: of('response_ms'),
    firstTokenMs: of('first_token_ms'),
    // Written replies come from nowhere.
    tokensPerSecond: llmService === 'transcript' ? undefined : of('tokens_per_second'),
    turnsPerSecond: median(rows.flatMap((row) => (row.kind === 'load' ? [row.turns_per_s] : []))),
    requestBytes: of('request_bytes'),
    syncBytes: repeats === 0 ? undefined : syncBytes / repeats,
    syncIsWire,
  } satisfies VariantSummary;
}

function compareBy<K extends string>(a: Record<K, string>, b: Record<K, string>, keys: readonly K[]): number {
  for (const key of keys) {
    const order = a[key].localeCompare(b[key], 'en', { numeric: true });
    if (order !== 0) return order;
  }
  return 0;
}
