import { createHash } from 'node:crypto';
import type { TokenId } from '../../domain/token-sequence.ts';
import type { Candidate } from './next-token-logits.ts';

/** llama.cpp's samplers after top-k, with its parameters and in its default order. */
export interface CandidateChain {
  /** 1 or more: off. */
  readonly typicalP: number;
  /** 1 or more: off. */
  readonly topP: number;
  /** 0 or less: off. */
  readonly minP: number;
  /** Candidates that each of them leaves at least. */
  readonly minKeep: number;
  readonly xtc: { readonly probability: number; readonly threshold: number } | undefined;
  /** 0 or less: the most probable of what is left. */
  readonly temperature: number;
  /** How far the temperature goes to both sides, by how undecided the model is; 0: not. */
  readonly dynamicRange: number;
  readonly dynamicExponent: number;
}

/** Chooses of the candidates that top-k left, the most probable first and at least one. `draw` gives numbers from 0 to 1. */
export function chooseCandidate(candidates: readonly Candidate[], chain: CandidateChain, draw: () => number): TokenId {
  let left = typical(candidates, chain);
  left = topP(left, chain);
  left = minP(left, chain);
  left = withoutTop(left, chain, draw);
  const temperature = temperatureOf(left, chain);
  const [first] = left as readonly [Candidate, ...Candidate[]];
  if (temperature <= 0) return first[0];
  const rest = draw();
  const probable = probabilities(left.map(([id, logit]) => [id, logit / temperature] as const));
  let sum = 0;
  for (const [place, probability] of probable.entries()) {
    sum += probability;
    if (rest < sum) return (left[place] as Candidate)[0];
  }
  return (left.at(-1) as Candidate)[0];
}

/** Numbers from 0 to 1 that follow from a seed. */
export function draws(seed: number): () => number {
  let count = 0;
  return () => {
    const bytes = createHash('sha256').update(`${seed} ${count++}`).digest();
    return (bytes.readUInt32LE(0) * 2 ** 21 + (bytes.readUInt32LE(4) >>> 11)) / 2 ** 53;
  };
}

/** Locally typical sampling: those whose surprise is nearest to what is expected, until they have the wanted part. */
function typical(candidates: readonly Candidate[], { typicalP, minKeep }: CandidateChain): readonly Candidate[] {
  if (typicalP >= 1) return candidates;
  const probable = probabilities(candidates);
  const entropy = entropyOf(probable);
  const order = probable
    .map((probability, place) => ({ place, probability, off: Math.abs(-Math.log(probability) - entropy) }))
    .sort((a, b) => a.off - b.off);
  let sum = 0;
  const kept: number[] = [];
  for (const { place, probability } of order) {
    sum += probability;
    kept.push(place);
    if (sum > typicalP && kept.length >= minKeep) break;
  }
  return kept.sort((a, b) => a - b).map((place) => candidates[place] as Candidate);
}

function topP(candidates: readonly Candidate[], { topP: part, minKeep }: CandidateChain): readonly Candidate[] {
  if (part >= 1) return candidates;
  let sum = 0;
  let kept = 0;
  for (const probability of probabilities(candidates)) {
    sum += probability;
    kept++;
    if (sum >= part && kept >= minKeep) break;
  }
  return candidates.slice(0, kept);
}

function minP(candidates: readonly Candidate[], { minP: part, minKeep }: CandidateChain): readonly Candidate[] {
  if (part <= 0) return candidates;
  const least = (candidates[0] as Candidate)[1] + Math.log(part);
  return candidates.filter(([, logit], place) => logit >= least || place < Math.max(1, minKeep));
}

/** XTC: now and then without the top choices, but for the last of those that are likely enough. */
function withoutTop(candidates: readonly Candidate[], { xtc, minKeep }: CandidateChain, draw: () => number) {
  if (xtc === undefined || xtc.threshold > 0.5 || candidates.length < 2 || draw() > xtc.probability) return candidates;
  const likely = probabilities(candidates).filter((probability) => probability >= xtc.threshold).length;
  const out = likely - 1;
  return out > 0 && candidates.length - out >= minKeep ? candidates.slice(out) : candidates;
}

function temperatureOf(candidates: readonly Candidate[], chain: CandidateChain): number {
  const { temperature, dynamicRange, dynamicExponent } = chain;
  if (dynamicRange <= 0 || candidates.length < 2) return temperature;
  const undecided = entropyOf(probabilities(candidates)) / Math.log(candidates.length);
  const least = Math.max(0, temperature - dynamicRange);
  return least + (temperature + dynamicRange - least) * undecided ** dynamicExponent;
}

function probabilities(candidates: readonly Candidate[]): number[] {
  const most = (candidates[0] as Candidate)[1];
  const weights = candidates.map(([, logit]) => Math.exp(logit - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function entropyOf(probable: readonly number[]): number {
  return probable.reduce(
    (sum, probability) => (probability === 0 ? sum : sum - probability * Math.log(probability)),
    0,
  );
}
