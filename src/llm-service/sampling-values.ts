import { DiscedgeError } from '../domain/errors.ts';

export interface LogitBias {
  /** An id (ignored outside the vocabulary, as by llama-server), or a text each of whose ids is meant. */
  readonly target: number | string;
  /** Added to the logit; -∞ for never. */
  readonly bias: number;
}

const isFalse = (value: unknown) => value === false;
const isZero = (value: unknown) => value === 0;
const isOne = (value: unknown) => value === 1;
const atMostZero = (value: unknown) => typeof value === 'number' && value <= 0;
const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0;

/** Sampling parameters that not every engine has, with the values that change nothing. */
export const NEUTRAL = {
  typical_p: (value: unknown) => typeof value === 'number' && value >= 1,
  min_keep: (value: unknown) => typeof value === 'number' && value <= 1,
  dynatemp_range: atMostZero,
  xtc_probability: isZero,
  top_n_sigma: atMostZero,
  mirostat: isZero,
  dry_multiplier: isZero,
  adaptive_target: (value: unknown) => typeof value === 'number' && value < 0,
  n_indent: isZero,
  n: isOne,
  n_cmpl: isOne,
  t_max_predict_ms: atMostZero,
  backend_sampling: isFalse,
  grammar_lazy: isFalse,
  grammar_triggers: isEmpty,
  lora: isEmpty,
  samplers: isDefaultOrder,
} as const;

/** Whether a reply is the same without the parameter. */
export function changesNothing(param: keyof typeof NEUTRAL, value: unknown): boolean {
  return value === undefined || value === null || NEUTRAL[param](value);
}

/** llama.cpp's default order of samplers. */
const SAMPLER_ORDER = 'penalties,dry,top_n_sigma,top_k,typ_p,top_p,min_p,xtc,temperature';

function isDefaultOrder(value: unknown): boolean {
  return Array.isArray(value) && value.join().replace('typical_p', 'typ_p') === SAMPLER_ORDER;
}

/**
 * Reads sampling parameters under llama.cpp's names; `null` means the default. Throws `invalid_request` for a wrong type or range.
 */
export class SamplingReader {
  readonly #given: Readonly<Record<string, unknown>>;
  constructor(given: Readonly<Record<string, unknown>>) {
    this.#given = given;
  }

  number(
    param: string,
    byDefault: number,
    range: { minimum?: number; maximum?: number; whole?: boolean } = {},
  ): number {
    const value = this.#given[param] ?? byDefault;
    const { minimum = -Infinity, maximum = Infinity, whole = false } = range;
    if (typeof value === 'number' && Number.isFinite(value) && value >= minimum && value <= maximum) {
      if (!whole || Number.isInteger(value)) return value;
    }
    const bounds = [
      ...(minimum === -Infinity ? [] : [`at least ${minimum}`]),
      ...(maximum === Infinity ? [] : [`at most ${maximum}`]),
    ];
    throw invalid(param, [whole ? 'a whole number' : 'a number', ...bounds].join(', '));
  }

  boolean(param: string, byDefault: boolean): boolean {
    const value = this.#given[param] ?? byDefault;
    if (typeof value !== 'boolean') throw invalid(param, 'true or false');
    return value;
  }

  text(param: string): string {
    const value = this.#given[param] ?? '';
    if (typeof value !== 'string') throw invalid(param, 'a text');
    return value;
  }

  /** `[[id or text, bias or false], …]` or `{"id or text": bias or false}`, as llama-server takes it. */
  logitBias(): LogitBias[] {
    const value = this.#given.logit_bias ?? [];
    if (typeof value !== 'object') throw invalid('logit_bias', LOGIT_BIAS_SHAPE);
    const pairs: unknown[] = Array.isArray(value)
      ? value
      : Object.entries(value).map(([key, bias]) => [idOf(key), bias]);
    return pairs.map((pair) => {
      const [target, bias] = Array.isArray(pair) && pair.length === 2 ? pair : [];
      const isTarget = typeof target === 'string' || (Number.isInteger(target) && target >= 0);
      if (!isTarget || !(bias === false || Number.isFinite(bias))) throw invalid('logit_bias', LOGIT_BIAS_SHAPE);
      return { target, bias: bias === false ? -Infinity : bias };
    });
  }
}

const LOGIT_BIAS_SHAPE = 'an array of pairs [id or text, number or false]';

function idOf(key: string): number | string {
  return /^\d+$/.test(key) ? Number(key) : key;
}

function invalid(param: string, expected: string): DiscedgeError {
  return new DiscedgeError('invalid_request', `${param} must be ${expected}`, { param });
}
