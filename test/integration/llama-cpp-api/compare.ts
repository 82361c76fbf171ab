import type { Observation } from './observe.ts';

/** Fields whose value is no promise: times, names, what a slot happened to hold. Their presence and type are compared. */
const UNPROMISED =
  /(_ms|per_second|time_ms|message|seed|model|model_path|id_slot|cache_n|prompt_n|created|owned_by|logprob|prob|cache|processed|part\.(content|tokens|tokens_predicted)|timings\.predicted_n|\.bytes|\.token|\.id)$/;

/** Numbers that a 32-bit float tells apart from their decimals only here. */
const CLOSE = 1e-6;

/** Whether a field says the same on both sides. */
export function isSame(field: string, stock: unknown, ours: unknown): boolean {
  if (kindOf(stock) !== kindOf(ours)) return false;
  if (stock === undefined || UNPROMISED.test(field)) return true;
  if (typeof stock === 'number') return Math.abs(stock - (ours as number)) <= CLOSE * Math.abs(stock);
  return JSON.stringify(stock) === JSON.stringify(ours);
}

/** A field as the table shows it: its value where that is compared, else what kind it is of. */
export function shown(field: string, value: unknown): string {
  if (value === undefined) return 'absent';
  const text = JSON.stringify(value);
  return UNPROMISED.test(field) || text.length > 40 ? `(${kindOf(value)})` : `\`${text.replaceAll('|', '\\|')}\``;
}

export function fieldsOf(...observations: readonly Observation[]): string[] {
  return [...new Set(observations.flatMap((observation) => [...observation.keys()]))];
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
