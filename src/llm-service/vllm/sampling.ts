import { DiscedgeError } from '../../domain/errors.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import { schemaGrammar } from '../grammar/json-schema/schema-grammar.ts';
import type { LlmService } from '../llm-service.ts';
import { changesNothing, NEUTRAL, SamplingReader } from '../sampling-values.ts';
import { asXgrammar } from './xgrammar.ts';

/** vLLM's sampling parameters, as both of its APIs name them. */
export interface VllmSampling {
  /** 0: the most probable id, always. */
  readonly temperature: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly min_p: number;
  readonly seed?: number;
  readonly repetition_penalty: number;
  readonly presence_penalty: number;
  readonly frequency_penalty: number;
  /** By id, from −100 to 100. */
  readonly logit_bias?: Readonly<Record<string, number>>;
  readonly ignore_eos: boolean;
  /** GBNF, which is what vLLM's grammars are written in. */
  readonly structured_outputs?: { readonly grammar: string };
}

export interface ReadSampling {
  readonly sampling: VllmSampling;
  /** Most probable ids to tell of at each id of the reply; 0: none. */
  readonly probabilities: number;
}

export interface SamplingContext {
  readonly vocabularySize: number;
  readonly endOfGeneration: ReadonlySet<TokenId>;
  readonly tokenize: LlmService['tokenize'];
}

/** vLLM's own bound; −100 is what it takes for "never". */
const BIAS_MAX = 100;
const TEMPERATURE_MAX = 2;
const PENALTY_MAX = 2;
/** What top_p of 0 means: vLLM wants more than 0. */
const TOP_P_MIN = 1e-6;
/** vLLM's `--max-logprobs`, where it is not set. */
export const N_PROBS_MAX = 20;

/** What is read below. */
const TRANSLATED = [
  ...['temperature', 'top_k', 'top_p', 'min_p', 'seed', 'repeat_penalty', 'repeat_last_n', 'presence_penalty'],
  ...['frequency_penalty', 'logit_bias', 'ignore_eos', 'grammar', 'json_schema', 'n_probs', 'post_sampling_probs'],
];
/** What only means something beside parameters that vLLM lacks. */
const BESIDE_OTHERS = [
  ...['dynatemp_exponent', 'xtc_threshold', 'dry_base', 'dry_allowed_length', 'dry_penalty_last_n'],
  ...['dry_sequence_breakers', 'mirostat_tau', 'mirostat_eta'],
];
/** What a request to llama-server says beside its sampling parameters, and the node itself decides. */
const NODES_OWN = [
  ...[
    'prompt',
    'model',
    'stream',
    'stop',
    'n_predict',
    'max_tokens',
    'max_completion_tokens',
    'cache_prompt',
    'id_slot',
  ],
  ...['n_keep', 'n_discard', 'return_tokens', 'return_progress', 'timings_per_token', 'response_fields'],
];
const KNOWN: ReadonlySet<string> = new Set([...TRANSLATED, ...BESIDE_OTHERS, ...NODES_OWN]);

/**
 * llama.cpp's sampling parameters, with llama-server's defaults, in vLLM's terms. `null` means the default. Throws `invalid_request`
 * for a wrong type or range, and `unsupported_parameter` for a parameter that vLLM has not, or that is not known.
 */
export async function readSampling(
  given: Readonly<Record<string, unknown>>,
  context: SamplingContext,
): Promise<ReadSampling> {
  for (const [param, value] of Object.entries(given)) {
    if (KNOWN.has(param) || value === null || value === undefined) continue;
    if (!(param in NEUTRAL && changesNothing(param as keyof typeof NEUTRAL, value))) throw unsupported(param);
  }
  const read = new SamplingReader(given);
  const penalties = {
    repetition_penalty: read.number('repeat_penalty', 1, { minimum: 0.001 }),
    presence_penalty: read.number('presence_penalty', 0, { minimum: -PENALTY_MAX, maximum: PENALTY_MAX }),
    frequency_penalty: read.number('frequency_penalty', 0, { minimum: -PENALTY_MAX, maximum: PENALTY_MAX }),
  };
  const penalizes = Object.values(penalties).some((penalty, i) => penalty !== (i === 0 ? 1 : 0));
  const lastTokens = read.number('repeat_last_n', -1, { minimum: -1, whole: true });
  if (penalizes && lastTokens !== -1) throw unsupported('repeat_last_n', 'but for −1: it penalizes over all ids');
  const seed = read.number('seed', -1, { minimum: -1, maximum: 0xffff_ffff, whole: true });
  const ignoreEos = read.boolean('ignore_eos', false);
  const bias = await biases(read, { ignoreEos, context });
  const shape = structureOf(read, given);
  return {
    sampling: {
      temperature: Math.max(0, read.number('temperature', 0.8, { maximum: TEMPERATURE_MAX })),
      top_k: Math.max(0, read.number('top_k', 40, { maximum: 0x7fff_ffff, whole: true })),
      top_p: Math.min(1, Math.max(TOP_P_MIN, read.number('top_p', 0.95, { minimum: 0 }))),
      min_p: read.number('min_p', 0.05, { minimum: 0, maximum: 1 }),
      ...(seed === -1 ? {} : { seed }),
      ...penalties,
      ...(bias.size === 0 ? {} : { logit_bias: Object.fromEntries(bias) }),
      ignore_eos: ignoreEos,
      ...(shape && { structured_outputs: shape }),
    },
    probabilities: probabilitiesAsked(read),
  };
}

/** A bias that none of its sampling overcomes stands for "never". */
async function biases(
  read: SamplingReader,
  { ignoreEos, context }: { readonly ignoreEos: boolean; readonly context: SamplingContext },
): Promise<Map<TokenId, number>> {
  const bias = new Map<TokenId, number>();
  for (const { target, bias: amount } of read.logitBias()) {
    const ids = typeof target === 'number' ? [target] : await context.tokenize(target, { parseSpecial: false });
    const bounded = Math.min(BIAS_MAX, Math.max(-BIAS_MAX, amount));
    for (const id of ids) if (id < context.vocabularySize) bias.set(id as TokenId, bounded);
  }
  if (ignoreEos) for (const id of context.endOfGeneration) bias.set(id, -BIAS_MAX);
  return bias;
}

function structureOf(read: SamplingReader, { json_schema: schema }: Readonly<Record<string, unknown>>) {
  const grammar = read.text('grammar') || undefined;
  if (schema === undefined || schema === null)
    return grammar === undefined ? undefined : { grammar: asXgrammar(grammar) };
  if (grammar !== undefined) {
    const message = 'grammar and json_schema exclude each other: a reply can be held to one of them';
    throw new DiscedgeError('invalid_request', message, { param: 'json_schema' });
  }
  // The same at every engine that a conversation may go on at. vLLM's own reading lets a reply be white space without end.
  return { grammar: asXgrammar(schemaGrammar(schema)) };
}

function probabilitiesAsked(read: SamplingReader): number {
  const count = Math.max(0, read.number('n_probs', 0, { maximum: N_PROBS_MAX, whole: true }));
  if (count > 0 && read.boolean('post_sampling_probs', false)) throw unsupported('post_sampling_probs');
  return count;
}

function unsupported(param: string, only = ''): DiscedgeError {
  const message = `vLLM cannot honour ${param}${only && ` ${only}`}; leave it out`;
  return new DiscedgeError('unsupported_parameter', message, { param });
}
