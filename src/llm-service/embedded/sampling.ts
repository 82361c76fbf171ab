import type { SequenceEvaluateOptions, Token, TokenBias } from 'node-llama-cpp';
import { DiscedgeError } from '../../domain/errors.ts';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import { schemaGrammar } from '../grammar/json-schema/schema-grammar.ts';
import { changesNothing, type LogitBias, type NEUTRAL, SamplingReader } from '../sampling-values.ts';
import type { CandidateChain } from './candidate-chain.ts';

/** llama.cpp's `/completion` sampling parameters as the embedded service can honour them, checked. */
export interface EmbeddedSampling {
  /** 0 or less: the most probable id, always. */
  readonly temperature: number;
  /** 0 or less: off. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  /** 0 … 2³²−1; `undefined`: drawn anew. */
  readonly seed: number | undefined;
  readonly xtc: { readonly probability: number; readonly threshold: number } | undefined;
  readonly penalties: SamplingPenalties | undefined;
  readonly ignoreEos: boolean;
  readonly logitBias: readonly LogitBias[];
  /** GBNF, of `grammar` or made of `json_schema`. */
  readonly grammar: string | undefined;
  readonly probabilities: ProbabilitiesAsked | undefined;
  /** Where llama.cpp's samplers after top-k have to be our own, as node-llama-cpp lacks one of those that were asked for. */
  readonly chain: CandidateChain | undefined;
}

/** `n_probs`: what the reply tells of each id that was sampled. */
export interface ProbabilitiesAsked {
  /** How many of the most probable ids to name, 1 … {@link N_PROBS_MAX}. */
  readonly count: number;
  /** `post_sampling_probs`: of what sampling had left to draw from, in place of what the model said. */
  readonly afterSampling: boolean;
}

/** A reply holds as many candidates for each of its ids: a whole window of them has to fit in memory, and in a reply. */
export const N_PROBS_MAX = 100;

/** Candidates that sampling may leave where they are all read, at every id. */
const CANDIDATES_MAX = 1_000;

export interface SamplingPenalties {
  /** How many of the latest ids are penalized; -1: all. */
  readonly lastTokens: number;
  readonly repeat: number;
  readonly presence: number;
  readonly frequency: number;
}

/**
 * Reads sampling parameters under llama-server's names with llama-server's defaults. `null` means the default, names
 * that llama-server does not know are ignored, as there. Throws `invalid_request` for a wrong type or range, and
 * `unsupported_parameter` for a value other than the neutral one of a parameter that node-llama-cpp cannot honour.
 */
export function parseSampling(given: Readonly<Record<string, unknown>>): EmbeddedSampling {
  const read = new SamplingReader(given);
  for (const param of UNSUPPORTED) {
    if (changesNothing(param, given[param])) continue;
    const message = `the embedded LLM Service cannot honour ${param}; leave it out, or serve the model with llama-server`;
    throw new DiscedgeError('unsupported_parameter', message, { param });
  }
  const seed = read.number('seed', -1, { minimum: -1, maximum: 0xffff_ffff, whole: true });
  const xtc = {
    probability: read.number('xtc_probability', 0, { minimum: 0, maximum: 1 }),
    threshold: read.number('xtc_threshold', 0.1, { minimum: 0, maximum: 1 }),
  };
  const penalties = {
    lastTokens: read.number('repeat_last_n', 64, { minimum: -1, whole: true }),
    repeat: read.number('repeat_penalty', 1, { minimum: 0.001 }),
    presence: read.number('presence_penalty', 0),
    frequency: read.number('frequency_penalty', 0),
  };
  const grammar = grammarOf(read, given);
  const probabilities = probabilitiesAsked(read, grammar);
  const penalizes = penalties.repeat !== 1 || penalties.presence !== 0 || penalties.frequency !== 0;
  return {
    temperature: read.number('temperature', 0.8),
    topK: read.number('top_k', 40, { maximum: 0x7fff_ffff, whole: true }),
    topP: read.number('top_p', 0.95, { minimum: 0 }),
    minP: read.number('min_p', 0.05, { minimum: 0, maximum: 1 }),
    seed: seed === -1 ? undefined : seed,
    xtc: xtc.probability === 0 ? undefined : xtc,
    penalties: penalizes && penalties.lastTokens !== 0 ? penalties : undefined,
    ignoreEos: read.boolean('ignore_eos', false),
    logitBias: read.logitBias(),
    grammar,
    probabilities,
    chain: chainOf(read, { grammar, probabilities }),
  };
}

function grammarOf(
  read: SamplingReader,
  { json_schema: schema }: Readonly<Record<string, unknown>>,
): string | undefined {
  const grammar = read.text('grammar') || undefined;
  if (schema === undefined || schema === null) return grammar;
  if (grammar === undefined) return schemaGrammar(schema);
  const message = 'grammar and json_schema exclude each other: a reply can be held to one of them';
  throw new DiscedgeError('invalid_request', message, { param: 'json_schema' });
}

function probabilitiesAsked(read: SamplingReader, grammar: string | undefined): ProbabilitiesAsked | undefined {
  const count = read.number('n_probs', 0, { maximum: N_PROBS_MAX, whole: true });
  const afterSampling = read.boolean('post_sampling_probs', false);
  if (count <= 0) return undefined;
  const topK = read.number('top_k', 40);
  const isGreedy = read.number('temperature', 0.8) <= 0;
  if (afterSampling && !isGreedy) {
    const limit = `together with top_k from 1 to ${CANDIDATES_MAX} and without a grammar`;
    if (topK < 1 || topK > CANDIDATES_MAX || grammar !== undefined) throw unsupported('post_sampling_probs', limit);
  }
  return { count, afterSampling };
}

/** Throws `unsupported_parameter` where the candidates are too many to be read at every id, or a grammar would choose among them. */
function chainOf(
  read: SamplingReader,
  { grammar, probabilities }: Pick<EmbeddedSampling, 'grammar' | 'probabilities'>,
): CandidateChain | undefined {
  const asked = {
    typical_p: read.number('typical_p', 1, { minimum: 0 }),
    min_keep: read.number('min_keep', 0, { minimum: 0, maximum: 0x7fff_ffff, whole: true }),
    dynatemp_range: read.number('dynatemp_range', 0, { minimum: 0 }),
  };
  const exponent = read.number('dynatemp_exponent', 1);
  const isAsked = {
    typical_p: asked.typical_p < 1,
    min_keep: asked.min_keep > 1,
    dynatemp_range: asked.dynatemp_range > 0,
  };
  const param = Object.entries(isAsked).find(([, is]) => is)?.[0];
  if (param === undefined) return undefined;
  const topK = read.number('top_k', 40);
  if (topK < 1 || topK > CANDIDATES_MAX || grammar !== undefined || probabilities?.afterSampling) {
    throw unsupported(param, `with top_k from 1 to ${CANDIDATES_MAX}, and without a grammar and post_sampling_probs`);
  }
  const xtc = read.number('xtc_probability', 0);
  return {
    typicalP: asked.typical_p,
    topP: read.number('top_p', 0.95),
    minP: read.number('min_p', 0.05),
    minKeep: asked.min_keep,
    xtc: xtc === 0 ? undefined : { probability: xtc, threshold: read.number('xtc_threshold', 0.1) },
    temperature: read.number('temperature', 0.8),
    dynamicRange: asked.dynatemp_range,
    dynamicExponent: exponent,
  };
}

function unsupported(param: string, only: string): DiscedgeError {
  const message = `the embedded LLM Service can honour ${param} only ${only}; or serve the model with llama-server`;
  return new DiscedgeError('unsupported_parameter', message, { param });
}

/**
 * Parameters that node-llama-cpp cannot honour. `dry_multiplier` is among them because its DRY sees only the ids sampled since the
 * last prompt, not the prompt as llama-server's does.
 */
const UNSUPPORTED: readonly (keyof typeof NEUTRAL)[] = [
  ...(['top_n_sigma', 'mirostat', 'dry_multiplier', 'adaptive_target', 'n_indent', 'n', 'n_cmpl'] as const),
  ...(['t_max_predict_ms', 'backend_sampling', 'grammar_lazy', 'grammar_triggers', 'lora', 'samplers'] as const),
];

/** What says which ids a bias means, and what a grammar sees of an id. */
export interface BiasContext {
  readonly endOfGeneration: ReadonlySet<TokenId>;
  readonly vocabularySize: number;
  tokenize(text: string): TokenSequence;
  /** False for control tokens, and for text that begins with NUL. */
  hasText(id: TokenId): boolean;
}

/** What {@link evaluateOptions} needs of the engine and the generation. */
export interface EvaluateContext extends BiasContext {
  readonly seed: number;
  /** The latest `count` ids of prompt and reply so far. */
  latest(count: number): TokenSequence;
  newTokenBias(): TokenBias;
}

/** The same in node-llama-cpp's terms, but for the grammar, which has a state of its own. */
export function evaluateOptions(sampling: EmbeddedSampling, context: EvaluateContext): SequenceEvaluateOptions {
  const { temperature, topK, topP, minP, xtc, penalties } = sampling;
  const bias = biases(sampling, context);
  const lastTokens = penalties?.lastTokens === -1 ? Infinity : penalties?.lastTokens;
  return {
    // node-llama-cpp would end the iteration without the id that ended the reply.
    yieldEogToken: true,
    temperature: Math.max(0, temperature),
    topK: Math.max(0, topK),
    topP,
    minP,
    seed: context.seed,
    ...(xtc === undefined ? {} : { xtc }),
    ...(bias.size === 0 ? {} : { tokenBias: tokenBias(bias, context) }),
    ...(penalties === undefined || lastTokens === undefined
      ? {}
      : {
          repeatPenalty: {
            punishTokens: () => context.latest(lastTokens) as unknown as Token[],
            ...(lastTokens === Infinity ? {} : { maxPunishTokens: lastTokens }),
            penalty: penalties.repeat,
            presencePenalty: penalties.presence,
            frequencyPenalty: penalties.frequency,
          },
        }),
  };
}

/**
 * Whether a sampled id is one that sampling was to leave out. llama.cpp takes the first id of the vocabulary when it may take
 * none; under a grammar it allows none without text but those that end the reply, and text ends for it at a NUL.
 */
export function isForbidden(sampling: EmbeddedSampling, context: BiasContext): (id: TokenId) => boolean {
  const bias = biases(sampling, context);
  const { endOfGeneration } = context;
  const hasGrammar = sampling.grammar !== undefined;
  return (id) => bias.get(id) === -Infinity || (hasGrammar && !endOfGeneration.has(id) && !context.hasText(id));
}

function biases({ logitBias, ignoreEos }: EmbeddedSampling, context: BiasContext): Map<number, number> {
  const bias = new Map<number, number>();
  for (const { target, bias: amount } of logitBias) {
    const ids = typeof target === 'number' ? [target] : context.tokenize(target);
    for (const id of ids) if (id < context.vocabularySize) bias.set(id, amount);
  }
  if (ignoreEos) for (const id of context.endOfGeneration) bias.set(id, -Infinity);
  return bias;
}

/**
 * Written into the map behind TokenBias: its own `set` leaves out end-of-generation ids, which `ignore_eos` is about,
 * and there is no other way to the sampler.
 */
function tokenBias(bias: ReadonlyMap<number, number>, context: EvaluateContext): TokenBias {
  const result = context.newTokenBias();
  const { _biases } = result as unknown as { _biases: Map<number, number> };
  for (const [id, amount] of bias) _biases.set(id, amount);
  return result;
}
