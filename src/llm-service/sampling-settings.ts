/** llama.cpp's sampling parameters with its defaults, which every engine takes that is given them one by one. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  temperature: 0.8,
  dynatemp_range: 0,
  dynatemp_exponent: 1,
  top_k: 40,
  top_p: 0.95,
  min_p: 0.05,
  top_n_sigma: -1,
  xtc_probability: 0,
  xtc_threshold: 0.1,
  typical_p: 1,
  repeat_last_n: 64,
  repeat_penalty: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  dry_multiplier: 0,
  dry_base: 1.75,
  dry_allowed_length: 2,
  dry_penalty_last_n: 64,
  dry_sequence_breakers: ['\n', ':', '"', '*'],
  mirostat: 0,
  mirostat_tau: 5,
  mirostat_eta: 0.1,
  ignore_eos: false,
  logit_bias: [],
  n_probs: 0,
  min_keep: 0,
  grammar: '',
  samplers: ['penalties', 'dry', 'top_n_sigma', 'top_k', 'typ_p', 'top_p', 'min_p', 'xtc', 'temperature'],
  post_sampling_probs: false,
};

/** What applied where `given` was asked for and `seed` was drawn or asked for. */
export function samplingSettings(given: Readonly<Record<string, unknown>>, seed: number): Record<string, unknown> {
  const applied = Object.entries(DEFAULTS).map(([name, value]): [string, unknown] => [name, given[name] ?? value]);
  return { seed, ...Object.fromEntries(applied) };
}
