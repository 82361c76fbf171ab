// The table between llama.cpp's sampling parameters and vLLM's. Tries to have a parameter lost on the way, changed in meaning without a
// word, or one that nobody knows pass for honoured.
import { describe, expect, it } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { readSampling } from '../../../src/llm-service/vllm/sampling.ts';
import { asXgrammar } from '../../../src/llm-service/vllm/xgrammar.ts';

const context = {
  vocabularySize: 300,
  endOfGeneration: new Set([257, 258] as TokenId[]),
  tokenize: async (text: string) => [...Buffer.from(text)] as TokenId[],
};
const read = (given: Record<string, unknown>) => readSampling(given, context);
const DEFAULTS = {
  ...{ temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05 },
  ...{ repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0, ignore_eos: false },
};

describe('translated', () => {
  it.each([
    [{}, {}],
    [{ temperature: null, top_k: null }, {}],
    [
      { temperature: -1, top_k: -1, seed: 7 },
      { temperature: 0, top_k: 0, seed: 7 },
    ],
    [{ top_p: 0 }, { top_p: 1e-6 }],
    [{ top_p: 3 }, { top_p: 1 }],
    [{ repeat_penalty: 1.2, repeat_last_n: -1 }, { repetition_penalty: 1.2 }],
    [{ repeat_last_n: 64 }, {}],
    [{ ignore_eos: true }, { ignore_eos: true, logit_bias: { 257: -100, 258: -100 } }],
    [
      {
        logit_bias: [
          [5, 1.5],
          [400, 1],
          ['AB', false],
        ],
      },
      { logit_bias: { 5: 1.5, 65: -100, 66: -100 } },
    ],
    [{ grammar: 'root ::= "a"' }, { structured_outputs: { grammar: 'root ::= "a"' } }],
    [{ typical_p: 1, xtc_probability: 0, mirostat: 0, dry_multiplier: 0, dry_base: 2, n: 1, lora: [] }, {}],
    [{ cache_prompt: true, id_slot: 3, stream: true }, {}],
  ])('%j', async (given, expected) => {
    expect((await read(given)).sampling).toEqual({ ...DEFAULTS, ...expected });
  });

  it('probabilities are asked for as many', async () => {
    expect(await read({ n_probs: 5 })).toMatchObject({ probabilities: 5 });
  });

  it('a JSON schema becomes a grammar', async () => {
    const { structured_outputs } = (await read({ json_schema: { type: 'boolean' } })).sampling;
    expect(structured_outputs?.grammar).toContain('"true" | "false"');
  });
});

describe('refused by name', () => {
  it.each([
    ...['typical_p', 'xtc_probability', 'top_n_sigma', 'dry_multiplier', 'dynatemp_range'].map((name) => [
      name,
      { [name]: 0.5 },
    ]),
    ...['mirostat', 'min_keep', 'n', 'n_cmpl', 'n_indent', 't_max_predict_ms'].map((name) => [name, { [name]: 2 }]),
    ['samplers', { samplers: ['top_k'] }],
    ['reasoning_effort', { reasoning_effort: 'high' }],
    ['repeat_last_n', { repeat_penalty: 1.1, repeat_last_n: 64 }],
    ['post_sampling_probs', { n_probs: 2, post_sampling_probs: true }],
  ] as [string, Record<string, unknown>][])('%s: %j', async (param, given) => {
    await expect(read(given)).rejects.toMatchObject({ code: 'unsupported_parameter', param });
  });

  it.each([
    ['temperature', { temperature: 2.5 }],
    ['presence_penalty', { presence_penalty: 3 }],
    ['n_probs', { n_probs: 21 }],
    ['min_p', { min_p: 'x' }],
    ['grammar', { grammar: 'root ::= (' }],
    ['json_schema', { json_schema: { type: 'strang' } }],
    ['json_schema', { json_schema: {}, grammar: 'root ::= "a"' }],
  ])('%s out of range: %j', async (param, given) => {
    await expect(read(given)).rejects.toMatchObject({ code: 'invalid_request', param });
  });
});

describe('a grammar', () => {
  it.each([
    ['root ::= | "a" | "b"', 'root ::= "" | "a" | "b"'],
    ['root ::= "a" ( | "b")', 'root ::= "a" ( "" | "b")'],
    ['root ::= next "a" # | |\nnext ::= "(|" | [|(]', 'root ::= next "a" # | |\nnext ::= "(|" | [|(]'],
  ])('%j says where an alternative is empty', (gbnf, expected) => {
    expect(asXgrammar(gbnf)).toBe(expected);
  });
});
