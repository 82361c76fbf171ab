// Holds the samplers of our own against llama.cpp's definitions, worked out by hand for few candidates, and draws against
// the probabilities they should have.
import { expect, test } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { type CandidateChain, chooseCandidate, draws } from '../../../src/llm-service/embedded/candidate-chain.ts';

const OFF: CandidateChain = {
  ...{ typicalP: 1, topP: 1, minP: 0, minKeep: 0, xtc: undefined },
  ...{ temperature: 1, dynamicRange: 0, dynamicExponent: 1 },
};

/** Ids 0, 1, … with these probabilities, which add up to 1. */
const candidates = (...probabilities: readonly number[]) =>
  probabilities.map((probability, id) => [id as TokenId, Math.log(probability) + 3] as const);

/** How often each id is drawn, of `times`. */
function shares(of: ReturnType<typeof candidates>, chain: Partial<CandidateChain>, times = 4000): number[] {
  const draw = draws(1);
  const counts = of.map(() => 0);
  for (let i = 0; i < times; i++) (counts[chooseCandidate(of, { ...OFF, ...chain }, draw)] as number)++;
  return counts.map((count) => Math.round((count / times) * 20) / 20);
}

const four = candidates(0.5, 0.3, 0.15, 0.05);

test('draws follow the probabilities, and the same seed gives the same', () => {
  expect(shares(four, {})).toEqual([0.5, 0.3, 0.15, 0.05]);
  const some = (seed: number) => {
    const draw = draws(seed);
    return Array.from({ length: 50 }, () => chooseCandidate(four, OFF, draw));
  };
  expect(some(7)).toEqual(some(7));
  expect(some(7)).not.toEqual(some(8));
});

test('temperature 0 takes the most probable of what is left', () => {
  expect(shares(four, { temperature: 0 })).toEqual([1, 0, 0, 0]);
});

test('top-p keeps as few as reach it, min-p those near the most probable, and min_keep as many at least', () => {
  expect(shares(four, { topP: 0.5 })).toEqual([1, 0, 0, 0]);
  const [first, , ...cut] = shares(four, { topP: 0.75 });
  expect(first).toBeCloseTo(0.625, 1);
  expect(cut).toEqual([0, 0]);
  expect(shares(four, { minP: 0.5 }).slice(2)).toEqual([0, 0]);
  expect(shares(four, { topP: 0.1, minKeep: 3 })[2]).toBeGreaterThan(0);
  expect(shares(four, { topP: 0.1, minKeep: 3 })[3]).toBe(0);
  expect(shares(four, { minP: 1, minKeep: 2 }).slice(2)).toEqual([0, 0]);
});

test('typical sampling begins with what surprises as much as is expected, not with the most probable', () => {
  // The entropy is 1.14; surprises are 0.69, 1.20, 1.90 and 3.00, so id 1 is nearest, then 0, then 2.
  expect(shares(four, { typicalP: 0.2 })).toEqual([0, 1, 0, 0]);
  expect(shares(four, { typicalP: 0.2, temperature: 0 })).toEqual([0, 1, 0, 0]);
  expect(shares(four, { typicalP: 0.7 }).slice(2)).toEqual([0, 0]);
  expect(shares(four, { typicalP: 0.2, minKeep: 2 }).map((share) => share > 0)).toEqual([true, true, false, false]);
});

test('XTC leaves the last of the likely ones, as often as it is told', () => {
  const xtc = { probability: 1, threshold: 0.1 };
  expect(shares(four, { xtc }).slice(0, 2)).toEqual([0, 0]);
  expect(shares(four, { xtc: { ...xtc, probability: 0.5 } })[0]).toBeCloseTo(0.25, 1);
  expect(shares(four, { xtc: { ...xtc, threshold: 0.4 } })).toEqual([0.5, 0.3, 0.15, 0.05]);
  expect(shares(four, { xtc, minKeep: 3 })[0]).toBe(0.5);
});

test('a dynamic temperature is low where the model is decided and high where it is not', () => {
  const chain = { temperature: 1, dynamicRange: 1, dynamicExponent: 1 };
  expect(shares(candidates(0.97, 0.01, 0.01, 0.01), chain)[0]).toBe(1);
  // As undecided as can be: temperature 2, which leaves equal ones equal.
  expect(shares(candidates(0.25, 0.25, 0.25, 0.25), chain)).toEqual([0.25, 0.25, 0.25, 0.25]);
  expect(shares(four, { ...chain, dynamicExponent: 0 })[0]).toBeLessThan(0.45);
});
