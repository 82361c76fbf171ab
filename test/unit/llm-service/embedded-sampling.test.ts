// Tries to get a sampling parameter ignored that changes the reply, refused though it changes nothing, or passed on with
// a wrong type or range; and checks what reaches node-llama-cpp.
import type { TokenBias } from 'node-llama-cpp';
import { describe, expect, test } from 'vitest';
import type { TokenId, TokenSequence } from '../../../src/domain/token-sequence.ts';
import { evaluateOptions, N_PROBS_MAX, parseSampling } from '../../../src/llm-service/embedded/sampling.ts';

const refusal = (given: Record<string, unknown>) => {
  try {
    parseSampling(given);
  } catch (error) {
    const { code, param } = error as { code: string; param: string };
    return { code, param };
  }
  return undefined;
};

describe('sampling parameters', () => {
  test("have llama-server's defaults, also where they are null", () => {
    const defaults = {
      temperature: 0.8,
      topK: 40,
      topP: 0.95,
      minP: 0.05,
      seed: undefined,
      xtc: undefined,
      penalties: undefined,
      ignoreEos: false,
      logitBias: [],
      grammar: undefined,
      probabilities: undefined,
      chain: undefined,
    };
    expect(parseSampling({})).toEqual(defaults);
    const names = ['temperature', 'top_k', 'seed', 'grammar', 'json_schema', 'logit_bias', 'ignore_eos', 'mirostat'];
    expect(parseSampling(Object.fromEntries(names.map((name) => [name, null])))).toEqual(defaults);
  });

  test('are read under their own names', () => {
    const given = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: 7, ignore_eos: true, grammar: 'root ::= "a"' };
    expect(parseSampling(given)).toMatchObject({
      temperature: 0,
      topK: 0,
      topP: 1,
      minP: 0,
      seed: 7,
      ignoreEos: true,
      grammar: 'root ::= "a"',
    });
    expect(parseSampling({ repeat_penalty: 1.1, repeat_last_n: -1 }).penalties).toEqual({
      lastTokens: -1,
      repeat: 1.1,
      presence: 0,
      frequency: 0,
    });
    expect(parseSampling({ presence_penalty: 0.5, repeat_last_n: 0 }).penalties).toBeUndefined();
    expect(parseSampling({ xtc_probability: 0.5 }).xtc).toEqual({ probability: 0.5, threshold: 0.1 });
    expect(parseSampling({ seed: -1 }).seed).toBeUndefined();
  });

  test.each([
    ['temperature', 'hot'],
    ['temperature', Number.NaN],
    ['top_k', 1.5],
    ['top_p', -0.1],
    ['min_p', 2],
    ['seed', -2],
    ['seed', 2 ** 32],
    ['seed', 0.5],
    ['repeat_penalty', 0],
    ['repeat_last_n', -2],
    ['presence_penalty', []],
    ['xtc_probability', 1.1],
    ['ignore_eos', 1],
    ['grammar', 5],
    ['logit_bias', 'x'],
    ['logit_bias', [[1]]],
    ['logit_bias', [[-1, 1]]],
    ['logit_bias', [[1, true]]],
    ['logit_bias', { 5: 'x' }],
    ['json_schema', 'x'],
    ['json_schema', { type: 'strang' }],
    ['n_probs', 'a'],
    ['n_probs', 1.5],
    ['n_probs', N_PROBS_MAX + 1],
    ['post_sampling_probs', 1],
  ])('%s: %j is refused by name', (param, value) => {
    expect(refusal({ [param]: value })).toEqual({ code: 'invalid_request', param });
  });

  test.each([
    ['n', 2],
    ['n_cmpl', 2],
    ['mirostat', 2],
    ['top_n_sigma', 1],
    ['dry_multiplier', 0.8],
    ['samplers', ['top_k']],
    ['lora', [{ id: 0, scale: 1 }]],
    ['t_max_predict_ms', 500],
    ['grammar_lazy', true],
  ])('%s: %j cannot be honoured and says so', (param, value) => {
    expect(refusal({ [param]: value })).toEqual({ code: 'unsupported_parameter', param });
  });

  test('samplers of our own take what top-k leaves, and nothing else', () => {
    for (const [param, value] of [
      ['typical_p', 0.9],
      ['dynatemp_range', 0.5],
      ['min_keep', 3],
    ] as const) {
      expect(parseSampling({ [param]: value }).chain).toMatchObject({ topP: 0.95, minP: 0.05, temperature: 0.8 });
      for (const more of [{ top_k: 0 }, { top_k: 5000 }, { grammar: 'root ::= "a"' }, { json_schema: {} }]) {
        expect(refusal({ [param]: value, ...more })).toEqual({ code: 'unsupported_parameter', param });
      }
    }
  });

  test('probabilities after sampling are given where they are few, and else refused', () => {
    expect(parseSampling({ n_probs: 3 }).probabilities).toEqual({ count: 3, afterSampling: false });
    const asked = { n_probs: 3, post_sampling_probs: true };
    expect(parseSampling(asked).probabilities).toEqual({ count: 3, afterSampling: true });
    expect(parseSampling({ ...asked, temperature: 0, top_k: 0 }).probabilities).toBeDefined();
    expect(parseSampling({ n_probs: -1, post_sampling_probs: true }).probabilities).toBeUndefined();
    for (const more of [{ top_k: 0 }, { top_k: 5000 }, { grammar: 'root ::= "a"' }]) {
      expect(refusal({ ...asked, ...more })).toEqual({ code: 'unsupported_parameter', param: 'post_sampling_probs' });
    }
  });

  test('that change nothing, and names llama-server does not know, are ignored', () => {
    const neutral = {
      mirostat: 0,
      mirostat_tau: 5,
      typical_p: 1,
      dynatemp_range: 0,
      top_n_sigma: -1,
      dry_multiplier: 0,
      dry_base: 1.75,
      n_probs: 0,
      lora: [],
      samplers: ['penalties', 'dry', 'top_n_sigma', 'top_k', 'typ_p', 'top_p', 'min_p', 'xtc', 'temperature'],
      model: 'anything',
      frobnicate: { a: 1 },
    };
    expect(parseSampling(neutral)).toEqual(parseSampling({}));
  });
});

describe("node-llama-cpp's options", () => {
  const reply: TokenId[] = [];
  const options = (given: Record<string, unknown>) =>
    evaluateOptions(parseSampling(given), {
      seed: 99,
      endOfGeneration: new Set([8, 9] as TokenId[]),
      vocabularySize: 10,
      latest: (count) => reply.slice(-count),
      tokenize: (text): TokenSequence => (text === 'ab' ? ([1, 2] as TokenId[]) : []),
      hasText: () => true,
      newTokenBias: () => ({ _biases: new Map() }) as unknown as TokenBias,
    });
  const biases = (given: Record<string, unknown>) => {
    const { tokenBias } = options(given);
    return tokenBias && Object.fromEntries((tokenBias as unknown as { _biases: Map<number, number> })._biases);
  };

  test('carry the seed, keep the end token, and clamp what means "off"', () => {
    expect(options({ temperature: -1, top_k: -5 })).toEqual({
      yieldEogToken: true,
      temperature: 0,
      topK: 0,
      topP: 0.95,
      minP: 0.05,
      seed: 99,
    });
  });

  test('ignore_eos forbids every id that ends a reply', () => {
    expect(biases({ ignore_eos: true })).toEqual({ 8: -Infinity, 9: -Infinity });
    expect(biases({})).toBeUndefined();
  });

  test('logit_bias takes ids, texts and false, and ignores ids outside the vocabulary', () => {
    expect(
      biases({
        logit_bias: [
          [3, 1.5],
          ['ab', false],
          [10, 1],
        ],
      }),
    ).toEqual({ 3: 1.5, 1: -Infinity, 2: -Infinity });
    expect(biases({ logit_bias: { 3: -1, ab: 2 } })).toEqual({ 3: -1, 1: 2, 2: 2 });
  });

  test('penalties see the latest ids at every step', () => {
    const { repeatPenalty } = options({ repeat_penalty: 1.2, repeat_last_n: 2 });
    const punished = () => (repeatPenalty as { punishTokens: () => unknown }).punishTokens();
    expect(repeatPenalty).toMatchObject({ penalty: 1.2, presencePenalty: 0, frequencyPenalty: 0, maxPunishTokens: 2 });
    reply.push(...([1, 2, 3] as TokenId[]));
    expect(punished()).toEqual([2, 3]);
    reply.push(4 as TokenId);
    expect(punished()).toEqual([3, 4]);
  });
});
