import type { LlamaContextSequence, SequenceEvaluateOptions, Token } from 'node-llama-cpp';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import { chooseCandidate, draws } from './candidate-chain.ts';
import { type EmbeddedEngine, tokens } from './engine.ts';
import type { EmbeddedSampling, ProbabilitiesAsked } from './sampling.ts';

/** One of llama-server's `completion_probabilities`. */
export type TokenProbabilities = Told & ({ readonly top_logprobs: Told[] } | { readonly top_probs: Told[] });

type Told = Readonly<Record<string, unknown>>;

/** An id that was sampled, and what is to be told of it. */
export interface SampledId {
  readonly id: TokenId;
  readonly said: TokenProbabilities | undefined;
}

interface Sampling {
  readonly engine: EmbeddedEngine;
  readonly sequence: LlamaContextSequence;
  /** What is still to be evaluated of the prompt, at least one id. */
  readonly rest: TokenSequence;
  readonly options: SequenceEvaluateOptions;
}

/** Samples without end; whoever reads says when it is enough. */
export async function* sampledIds(
  { probabilities, chain }: Pick<EmbeddedSampling, 'probabilities' | 'chain'>,
  sampling: Sampling,
): AsyncGenerator<SampledId> {
  if (chain === undefined) return yield* sampledBy(probabilities, sampling);
  const { engine, sequence, options } = sampling;
  const logits = engine.newLogitReader();
  const draw = draws(options.seed ?? 0);
  const leave = engine.steps.on(sequence, async (_sample, logitsAt) => {
    const candidates = await logits.best(logitsAt, sequence, options);
    return candidates.length === 0 ? NO_TOKEN : chooseCandidate(candidates, chain, draw);
  });
  try {
    yield* sampledBy(probabilities, sampling);
  } finally {
    leave();
    logits.dispose();
  }
}

/** node-llama-cpp's word for it. */
const NO_TOKEN = -1 as TokenId;

function sampledBy(asked: ProbabilitiesAsked | undefined, sampling: Sampling): AsyncIterable<SampledId> {
  if (asked === undefined) return plain(sampling);
  return asked.afterSampling ? withProbabilitiesLeft(asked.count, sampling) : withModelsOwn(asked.count, sampling);
}

/** As a reply's or an event's further fields. */
export function probabilityFields(said: readonly TokenProbabilities[]) {
  return said.length === 0 ? {} : { fields: { completion_probabilities: said } };
}

async function* plain({ sequence, rest, options }: Sampling): AsyncGenerator<SampledId> {
  for await (const token of sequence.evaluate(tokens(rest), options)) {
    yield { id: token as number as TokenId, said: undefined };
  }
}

/** What the model said, whatever was sampled of it: llama-server's `logprob`. */
async function* withModelsOwn(count: number, sampling: Sampling): AsyncGenerator<SampledId> {
  const { engine, sequence } = sampling;
  const logits = engine.newLogitReader();
  let said: TokenProbabilities | undefined;
  const leave = engine.steps.on(sequence, async (sample, logitsAt) => {
    const id = await sample();
    // -1: there was nothing to sample, and no id to ask about.
    if (id < 0) return id;
    const { top, asked, logTotal } = await logits.read(logitsAt, count, id);
    const told = (of: TokenId, logit: number) => ({ ...named(engine, of), logprob: logit - logTotal });
    said = { ...told(id, asked), top_logprobs: top.map(([of, logit]) => told(of, logit)) };
    return id;
  });
  try {
    for await (const { id } of plain(sampling)) yield { id, said };
  } finally {
    leave();
    logits.dispose();
  }
}

/** What it was drawn from: llama-server's `prob`. */
async function* withProbabilitiesLeft(count: number, sampling: Sampling): AsyncGenerator<SampledId> {
  const { engine, sequence, rest, options } = sampling;
  const told = (id: TokenId, prob: number) => ({ ...named(engine, id), prob });
  if (options.temperature === 0) {
    for await (const { id } of plain(sampling)) yield { id, said: { ...told(id, 1), top_probs: [told(id, 1)] } };
    return;
  }
  for await (const step of sequence.evaluateWithMetadata(tokens(rest), { probabilities: true }, options)) {
    const left = step.probabilities as ReadonlyMap<number, number>;
    const id = step.token as number as TokenId;
    const top = [...left].slice(0, count).map(([of, prob]) => told(of as TokenId, prob));
    yield { id, said: { ...told(id, left.get(id) ?? 0), top_probs: top } };
  }
}

function named(engine: EmbeddedEngine, id: TokenId) {
  // As in llama-server, whose replies show no control tokens either.
  const bytes = engine.model.isSpecialToken(id as number as Token) ? Buffer.of() : engine.bytesOf(id);
  return { id, token: Buffer.from(bytes).toString(), bytes: [...bytes] };
}
