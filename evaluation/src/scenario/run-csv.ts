import type { RunRow, TurnRow } from './run-row.ts';

type Cell = string | number | boolean | null | undefined;

/** The columns that the prototype's server writes, under its names and in its order. */
const PROTOTYPE_COLUMNS: readonly (readonly [name: string, of: (row: RunRow) => Cell])[] = [
  ['Timestamp', (row) => row.at],
  ['Operation', (row) => row.kind],
  ['DurationMs', (row) => (row.kind === 'turn' ? row.response_ms : row.kind === 'run_end' ? row.wall_ms : undefined)],
  ['ContextMethod', (row) => row.mode],
  ['ScenarioName', (row) => row.scenario],
  ['SessionID', ofTurn('session_id')],
  ['RequestSizeBytes', ofTurn('request_body_bytes')],
  ['PromptChars', ofTurn('prompt_chars')],
  ['ContextTokens', ofTurn('prompt_tokens')],
  ['Turn', ofTurn('turn')],
  ['Details', detailsOf],
];

/** Ours, behind them and in lower case; they are the fields of the NDJSON rows. */
const OWN_COLUMNS = [
  ...(['run', 'version', 'commit', 'machine', 'model', 'seed', 'temperature', 'max_tokens'] as const),
  ...(['consistency', 'max_wait_ms', 'stream'] as const),
  ...(['user', 'repeat', 'node', 'node_url', 'node_id', 'moved', 'think_ms', 'context_id'] as const),
  ...(['first_token_ms', 'request_bytes', 'reply_bytes', 'cached_tokens', 'evaluated_tokens', 'reply_tokens'] as const),
  ...(['prompt_ms', 'predicted_ms', 'tokens_per_second', 'retries', 'waited_ms', 'client_retries'] as const),
  ...(['based_on_turn', 'dropped_turns', 'replayed', 'exact_ids', 'stop_type', 'error', 'complete'] as const),
] as const;

export const CSV_COLUMNS: readonly string[] = [...PROTOTYPE_COLUMNS.map(([name]) => name), ...OWN_COLUMNS];

export function csvHeader(): string {
  return csvLine(CSV_COLUMNS);
}

export function csvRow(row: RunRow): string {
  const fields = row as unknown as Readonly<Record<string, Cell>>;
  return csvLine([...PROTOTYPE_COLUMNS.map(([, of]) => of(row)), ...OWN_COLUMNS.map((name) => fields[name])]);
}

/** RFC 4180, with a plain line feed. */
export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(quoted).join(',')}\n`;
}

function quoted(cell: Cell): string {
  const text = cell === null || cell === undefined ? '' : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function ofTurn(field: keyof TurnRow): (row: RunRow) => Cell {
  return (row) => (row.kind === 'turn' ? (row[field] as Cell) : undefined);
}

function detailsOf(row: RunRow): string {
  switch (row.kind) {
    case 'run_start':
      return `${row.turns_planned} turns planned; incomplete unless a run_end follows`;
    case 'turn':
      return row.error === '' ? `${row.moved ? 'moved to' : 'at'} ${row.node}` : `failed: ${row.error}`;
    case 'run_end':
      return `${row.complete ? 'complete' : `incomplete (${row.reason})`}: ${row.turns_answered} turns answered, ${row.turns_failed} failed`;
    default:
      return row satisfies never;
  }
}
