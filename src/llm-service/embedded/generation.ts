import type { LlamaContextSequence, LlamaGrammarEvaluationState } from 'node-llama-cpp';
import type { StopReason } from '../../domain/record/turn-record.ts';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import type { Clock } from '../../environment/environment.ts';
import type { GenerationEvent, GenerationRequest, GenerationUsage } from '../llm-service.ts';
import { ReplyText } from '../reply-text.ts';
import { samplingSettings } from '../sampling-settings.ts';
import { SamplingFailed } from './decoding/contain-sampling.ts';
import { type EmbeddedEngine, tokens } from './engine.ts';
import { ReplyDecoder } from './reply-decoder.ts';
import { probabilityFields, sampledIds, type TokenProbabilities } from './reply-probabilities.ts';
import { type BiasContext, type EmbeddedSampling, evaluateOptions, isForbidden } from './sampling.ts';
import type { KeepAt } from './sequence-keeping.ts';

export interface EmbeddedGeneration {
  readonly request: GenerationRequest;
  readonly sampling: EmbeddedSampling;
  readonly seed: number;
  readonly grammar: LlamaGrammarEvaluationState | undefined;
  readonly endOfGeneration: ReadonlySet<TokenId>;
  readonly prefillChunkTokens: number;
  readonly signal: AbortSignal;
  emit(event: GenerationEvent): void;
  /** Called with every prefill chunk and id. */
  progressed(): void;
}

/** Where a generation runs, and what was done there for it. */
export interface GenerationPlace {
  readonly engine: EmbeddedEngine;
  readonly sequence: LlamaContextSequence;
  readonly slot: number;
  readonly clock: Clock;
  /** When the sequence became the generation's. */
  readonly startedMs: number;
  /** Ids of the prompt that were brought back from a state file since. */
  readonly restoredTokens: number;
  /** Told once how many ids of the prompt the sequence holds; returns how many of those are warm. */
  found(cachedTokens: number): number;
  readonly keepAt: KeepAt | undefined;
}

/**
 * Evaluates a prompt on one KV sequence and samples a reply. However it ends, the sequence holds a prefix of prompt and
 * reply afterwards: all of both but the last id, when it ends well.
 */
export async function runGeneration(generation: EmbeddedGeneration, on: GenerationPlace): Promise<void> {
  const { request, emit } = generation;
  const { engine, sequence, slot, clock, startedMs } = on;
  const cachedTokens = await rewind(sequence, request.prompt);
  const warmedTokens = on.found(cachedTokens);
  const promptTokens = request.prompt.length;
  const tellProgress = () => {
    if (!request.tell?.progress) return;
    const processedTokens = sequence.nextTokenIndex;
    const elapsedMs = clock.monotonic() - startedMs;
    emit({ kind: 'progress', promptTokens, cachedTokens, processedTokens, elapsedMs });
  };
  tellProgress();
  const rest = await prefill(generation, on, tellProgress);

  let promptedMs: number | undefined;
  let stop: StopReason | undefined;
  const ids: TokenId[] = [];
  const usageAt = (atMs: number): GenerationUsage => ({
    cachedTokens,
    restoredTokens: Math.min(on.restoredTokens, cachedTokens),
    warmedTokens,
    evaluatedTokens: promptTokens - cachedTokens,
    promptMs: (promptedMs ?? atMs) - startedMs,
    predictedTokens: ids.length,
    predictedMs: atMs - (promptedMs ?? atMs),
  });
  const told = () => (request.tell?.usage ? { usage: usageAt(clock.monotonic()) } : {});
  const end = {
    ...({ kind: 'end', exact: true, slot } as const),
    settings: samplingSettings({ ...request.sampling, grammar: generation.sampling.grammar }, generation.seed),
  };
  if (request.maxTokens === 0) {
    if (rest.length > 0) await sequence.evaluateWithoutGeneratingNewTokens(tokens(rest));
    tellProgress();
    emit({ ...end, ids, text: '', stop: { kind: 'limit' }, usage: usageAt(clock.monotonic()) });
    return;
  }
  const shown: string[] = [];
  const forbidden = isForbidden(generation.sampling, biasContext(generation, engine));
  const decoder = new ReplyDecoder(
    (some, before) => engine.detokenize(some, { before, special: false }),
    request.prompt,
  );
  const reply = new ReplyText(request.stop);
  const probabilities: TokenProbabilities[] = [];
  const sampled = sampledIds(generation.sampling, {
    ...{ engine, sequence, rest },
    options: options(generation, { engine, ids }),
  });
  for await (const { id, said } of sampled) {
    if (promptedMs === undefined) {
      promptedMs = clock.monotonic();
      tellProgress();
    }
    generation.progressed();
    generation.signal.throwIfAborted();
    if (forbidden(id)) throw new SamplingFailed('no token was left to sample');
    ids.push(id);
    const { text, stoppedBy } = reply.push(decoder.push(id));
    shown.push(text);
    if (said !== undefined && !request.stream) probabilities.push(said);
    emit({ kind: 'part', text, ids: [id], ...told(), ...probabilityFields(request.stream && said ? [said] : []) });
    stop = stopReason(generation, { ids, word: stoppedBy, contextTokens: engine.contextTokens });
    if (stop !== undefined) break;
  }
  const last = reply.end();
  if (last !== '') emit({ kind: 'part', text: last, ids: [], ...told() });

  const text = shown.join('') + last;
  const usage = usageAt(clock.monotonic());
  emit({ ...end, ids, text, stop: stop ?? { kind: 'end' }, usage, ...probabilityFields(probabilities) });
}

/**
 * Cuts the sequence back to what it shares with the prompt, all but the prompt's last id at most: that one is evaluated
 * again for its logits. Returns how many ids are left; none where the model's state cannot be cut back.
 */
async function rewind(sequence: LlamaContextSequence, prompt: TokenSequence): Promise<number> {
  await sequence.adaptStateToTokens(tokens(prompt.slice(0, -1)), false);
  return sequence.nextTokenIndex;
}

/** Evaluates the prompt but for a last piece, which it returns; looks at the signal after every chunk. */
async function prefill(
  generation: EmbeddedGeneration,
  { sequence, keepAt }: GenerationPlace,
  tellProgress: () => void,
): Promise<TokenSequence> {
  const { request, prefillChunkTokens, signal } = generation;
  const { prompt } = request;
  let at = sequence.nextTokenIndex;
  const keepTokens = keepAt !== undefined && keepAt.tokens >= at ? keepAt.tokens : undefined;
  while (prompt.length - at > prefillChunkTokens || (keepTokens !== undefined && at < keepTokens)) {
    signal.throwIfAborted();
    const to = Math.min(
      at + prefillChunkTokens,
      keepTokens !== undefined && at < keepTokens ? keepTokens : prompt.length,
    );
    await sequence.evaluateWithoutGeneratingNewTokens(tokens(prompt.slice(at, to)));
    at = to;
    generation.progressed();
    tellProgress();
    if (at === keepTokens) await keepAt?.keep();
  }
  signal.throwIfAborted();
  return prompt.slice(at);
}

function options(generation: EmbeddedGeneration, on: { engine: EmbeddedEngine; ids: TokenSequence }) {
  const { request, sampling, seed, grammar } = generation;
  const { engine, ids } = on;
  const evaluate = evaluateOptions(sampling, {
    ...biasContext(generation, engine),
    seed,
    latest: (count) => latest(request.prompt, ids, count),
    newTokenBias: engine.newTokenBias,
  });
  return grammar === undefined ? evaluate : { ...evaluate, grammarEvaluationState: grammar };
}

function biasContext({ endOfGeneration }: EmbeddedGeneration, engine: EmbeddedEngine): BiasContext {
  const { vocabularySize } = engine;
  return { endOfGeneration, vocabularySize, tokenize: (text) => engine.tokenize(text, false), hasText: engine.hasText };
}

function latest(prompt: TokenSequence, ids: TokenSequence, count: number): TokenSequence {
  if (ids.length >= count) return ids.slice(-count);
  return [...prompt.slice(Math.max(0, prompt.length + ids.length - count)), ...ids];
}

/** The window counts as a limit: shifting it would silently drop what the conversation began with. */
function stopReason(
  { request, endOfGeneration }: EmbeddedGeneration,
  reply: { ids: TokenSequence; word: string | undefined; contextTokens: number },
): StopReason | undefined {
  const { ids, word, contextTokens } = reply;
  if (word !== undefined) return { kind: 'word', word };
  if (endOfGeneration.has(ids.at(-1) as TokenId)) return { kind: 'end' };
  const isFull = ids.length >= request.maxTokens || request.prompt.length + ids.length >= contextTokens;
  return isFull ? { kind: 'limit' } : undefined;
}
