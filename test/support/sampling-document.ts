import type { TokenId } from '../../src/domain/token-sequence.ts';
import { parseSampling } from '../../src/llm-service/embedded/sampling.ts';
import { readSampling } from '../../src/llm-service/vllm/sampling.ts';

/** A sampling parameter of llama-server's `/completion`, with a value that changes the reply. */
interface Row {
  readonly param: string;
  readonly value: unknown;
  /** Of the embedded service; what llama-server does with it stands in its own documents. */
  readonly note: string;
}

const ROWS: readonly Row[] = [
  { param: 'temperature', value: 0.5, note: '0 or less: the most probable id' },
  {
    param: 'seed',
    value: 7,
    note: 'the same seed, prompt and build give the same ids; another build or machine need not',
  },
  { param: 'top_k', value: 20, note: '' },
  { param: 'top_p', value: 0.5, note: '' },
  { param: 'min_p', value: 0.1, note: '' },
  { param: 'xtc_probability', value: 0.5, note: '' },
  { param: 'xtc_threshold', value: 0.2, note: '' },
  { param: 'repeat_penalty', value: 1.1, note: '' },
  { param: 'repeat_last_n', value: 32, note: '−1: the whole context' },
  { param: 'presence_penalty', value: 0.5, note: '' },
  { param: 'frequency_penalty', value: 0.5, note: '' },
  { param: 'logit_bias', value: [[5, 1.5]], note: '' },
  { param: 'ignore_eos', value: true, note: '' },
  {
    param: 'grammar',
    value: 'root ::= "a"',
    note: 'GBNF, within bounds that llama.cpp survives: 16 KiB, no token by its name',
  },
  {
    param: 'json_schema',
    value: { type: 'object' },
    note: 'see below; together with `grammar` it is refused, where llama-server takes the grammar',
  },
  {
    param: 'n_probs',
    value: 5,
    note: "at most 100; an entry for every id of `tokens` in its order, with that id's own text and bytes, where llama-server gives one for each piece of text that it sends",
  },
  {
    param: 'post_sampling_probs',
    value: true,
    note: 'together with `top_k` from 1 to 1,000 and without a grammar; at temperature 0 the id that is taken has 1',
  },
  {
    param: 'typical_p',
    value: 0.9,
    note: 'with `top_k` from 1 to 1,000, and without a grammar and `post_sampling_probs`; by a sampler of the node, whose draws for a seed are its own',
  },
  { param: 'dynatemp_range', value: 0.5, note: 'likewise' },
  { param: 'dynatemp_exponent', value: 2, note: 'likewise' },
  { param: 'min_keep', value: 2, note: 'likewise' },
  {
    param: 'top_n_sigma',
    value: 1,
    note: 'node-llama-cpp has no such sampler, and one of ours would need the whole vocabulary at every id: 75 ms and more for 152,000 ids',
  },
  { param: 'mirostat', value: 2, note: 'likewise' },
  { param: 'adaptive_target', value: 0.5, note: 'likewise' },
  {
    param: 'dry_multiplier',
    value: 0.8,
    note: "node-llama-cpp's DRY sees what was sampled since the last prompt, and not the prompt",
  },
  { param: 'samplers', value: ['top_k', 'temperature'], note: "llama.cpp's default order is taken, and no other" },
  { param: 'n_indent', value: 2, note: '' },
  { param: 't_max_predict_ms', value: 500, note: 'a turn has limits of its own' },
  { param: 'n', value: 2, note: 'a turn has one reply; refused in front of llama-server too' },
  { param: 'n_cmpl', value: 2, note: 'likewise' },
  { param: 'grammar_lazy', value: true, note: '' },
  { param: 'grammar_triggers', value: [{ type: 0, value: 'x' }], note: '' },
  { param: 'lora', value: [{ id: 0, scale: 1 }], note: 'no adapters are loaded' },
  { param: 'backend_sampling', value: true, note: '' },
];

export const DOCUMENTED: readonly string[] = ROWS.map(({ param }) => param);

/** docs/sampling.md, its table made by asking the code. */
export async function samplingDocument(): Promise<string> {
  const rows = await Promise.all(
    ROWS.map(async (row) => {
      const vllm = (await isHonouredByVllm(row)) ? 'yes' : 'refused';
      return `| \`${row.param}\` | ${isHonoured(row) ? 'yes' : 'refused'} | ${vllm} | ${row.note} |`;
    }),
  );
  return [
    '# Sampling parameters',
    '',
    "A turn takes llama.cpp's sampling parameters under their own names, with llama-server's defaults. In front of a llama-server all of",
    'them go to it as they are, but for `n` and `n_cmpl`. The embedded LLM Service honours those below, and refuses the others with',
    '`unsupported_parameter` and the name, unless the value is the one that changes nothing. A name that llama-server does not know is',
    'ignored, as there. `null` is the default.',
    '',
    '| parameter | embedded | vLLM | note on the embedded one |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    '## In front of a vLLM',
    '',
    "The same names and defaults, in vLLM's terms: `repeat_penalty` is its `repetition_penalty`, `grammar` and `json_schema` are its",
    '`structured_outputs`, `n_probs` (at most 20) its `logprobs`. What it has not is refused, and so is a name that is not known. Its samplers',
    'come in another order: penalties, temperature, `min_p`, `top_k`, `top_p`. `temperature` is at most 2, `presence_penalty` and',
    '`frequency_penalty` lie between −2 and 2 and count the reply alone, and `repeat_penalty` counts prompt and reply whole: `repeat_last_n` is',
    'taken as −1. A bias lies between −100 and 100; `false` is −100.',
    '',
    '## Probabilities',
    '',
    '`n_probs: N` adds `completion_probabilities` as llama-server does: of every id its `id`, `token`, `bytes` and `logprob`, and the N most',
    'probable ones as `top_logprobs`, before any sampling; with `post_sampling_probs` `prob` and `top_probs`, of what sampling had left.',
    'Whole replies have the list, streamed ones an entry with each event. Probabilities are not stored: a turn that is answered from its',
    'record (`replayed: true`) has none, whatever it asks for.',
    '',
    '## JSON Schema',
    '',
    'The embedded service makes a grammar of `json_schema`. It allows JSON that the schema allows, in the order of `properties`, those that',
    'are required first, and other properties only where `additionalProperties` is given. It knows `type`, `enum`, `const`, `properties`,',
    '`required`, `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `minLength`, `maxLength`, `format` (date, time,',
    'date-time, uuid), bounds of integers, `minimum: 0` of numbers, `anyOf`, `oneOf` (as `anyOf`), `allOf` and `$ref` within the schema.',
    'A keyword that a grammar cannot express (`pattern`, `not`, `uniqueItems`, …) is refused by its place, where llama-server leaves it out',
    'and may answer with what the schema forbids.',
    '',
  ].join('\n');
}

function isHonoured({ param, value }: Row): boolean {
  try {
    parseSampling({ [param]: value, ...(param === 'post_sampling_probs' && { n_probs: 1 }) });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'unsupported_parameter') return false;
    throw error;
  }
}

/** `repeat_last_n` means something beside a penalty, `post_sampling_probs` beside `n_probs`. */
async function isHonouredByVllm({ param, value }: Row): Promise<boolean> {
  const beside = {
    ...(param === 'repeat_last_n' && { repeat_penalty: 1.1 }),
    ...(param === 'post_sampling_probs' && { n_probs: 1 }),
    ...(param === 'dynatemp_exponent' && { dynatemp_range: 0.5 }),
    ...(param === 'xtc_threshold' && { xtc_probability: 0.5 }),
  };
  const context = { vocabularySize: 100, endOfGeneration: new Set<TokenId>(), tokenize: async () => [] };
  try {
    await readSampling({ ...beside, [param]: value }, context);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'unsupported_parameter') return false;
    throw error;
  }
}
