import { setTimeout } from 'node:timers/promises';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import type { Vocabulary } from '../../../src/llm-service/llm-service.ts';
import type { Answer } from './reply-server.ts';

interface Asked {
  readonly stream?: boolean;
  readonly id_slot?: number;
  readonly n_probs?: number;
}

/** Beyond what the demo model can; the length of a conversation is not what is measured with it. */
const CONTEXT_TOKENS = 1_000_000;
const MODEL = 'demo';
/** Ordinary words: their ids are the same, alone or in a text. */
const WORDS = 'The robot goes to the market and looks at the red apples there. ';

/** The text of every reply: `tokens` ids long, of which the last is an end token. */
export async function replyOf(
  vocabulary: Vocabulary,
  tokens: number,
): Promise<{ readonly ids: readonly TokenId[]; readonly pieces: readonly string[]; readonly text: string }> {
  const long = await vocabulary.tokenize(WORDS.repeat(tokens), { parseSpecial: false });
  const ids = long.slice(0, tokens - 1);
  const pieces = (await vocabulary.pieces(ids)).map((bytes) => Buffer.from(bytes).toString());
  const [end] = vocabulary.description.endOfGeneration;
  return { ids: [...ids, end as TokenId], pieces: [...pieces, ''], text: pieces.join('') };
}

/** What llama-server 0.7 answers, as tools/real-servers/samples have it, as far as somebody reads it; every reply is {@link replyOf}. */
export async function llamaServerAnswers(
  vocabulary: Vocabulary,
  {
    replyTokens,
    replyMs,
    slots,
    modelPath,
  }: { replyTokens: number; replyMs: number; slots: number; modelPath: string },
): Promise<Record<string, Answer>> {
  const { description } = vocabulary;
  const { ids, pieces, text } = await replyOf(vocabulary, replyTokens);
  const whole = (promptTokens: number, slot: number) => ({
    index: 0,
    content: text,
    tokens: ids,
    ...finalOf(promptTokens, { slot, predicted: ids.length }),
  });
  const progress = (promptTokens: number) => ({
    ...{ index: 0, content: '', tokens: [0], stop: false, id_slot: -1, tokens_predicted: 0 },
    ...{ tokens_evaluated: promptTokens },
    prompt_progress: { total: promptTokens, cache: 0, processed: promptTokens, time_ms: 0 },
  });
  // What it hides of the end token and tells with the last event only is left to the samples.
  const chunk = (i: number, promptTokens: number) =>
    `data: {"index":0,"content":${JSON.stringify(pieces[i])},"tokens":[${ids[i]}],"stop":false,"id_slot":-1,"tokens_predicted":${i + 1},"tokens_evaluated":${promptTokens}}\n\n`;
  const streamed = (promptTokens: number, slot: number) =>
    [
      eventOf(progress(promptTokens)),
      ...ids.map((_, i) => chunk(i, promptTokens)),
      eventOf({ index: 0, content: '', tokens: [], ...finalOf(promptTokens, { slot, predicted: ids.length }) }),
    ].join('');
  const allPieces = await vocabulary.pieces(
    Array.from({ length: description.vocabularySize }, (_, id) => id as TokenId),
  );
  const shown = await Promise.all(
    allPieces.map(async (bytes, id) => ((await vocabulary.detokenize([id as TokenId])) === '' ? [] : [...bytes])),
  );

  return {
    '/health': async () => ({ text: '{"status":"ok"}' }),
    '/props': async () => ({
      text: JSON.stringify({
        default_generation_settings: { n_ctx: CONTEXT_TOKENS },
        total_slots: slots,
        model_alias: MODEL,
        model_path: modelPath,
        chat_template: description.chatTemplate,
        bos_token: description.bosText,
        eos_token: description.eosText,
      }),
    }),
    '/tokenize': async (body) => {
      const { content, parse_special: parseSpecial = true, with_pieces: withPieces } = JSON.parse(body);
      const found = Array.isArray(content) ? content : await vocabulary.tokenize(content, { parseSpecial });
      if (!withPieces) return { text: JSON.stringify({ tokens: found }) };
      const found_pieces = await vocabulary.pieces(found);
      return {
        text: JSON.stringify({ tokens: found_pieces.map((bytes, i) => ({ id: found[i], piece: [...bytes] })) }),
      };
    },
    '/detokenize': async (body) => ({
      text: JSON.stringify({ content: await vocabulary.detokenize(JSON.parse(body).tokens, { special: true }) }),
    }),
    '/completion': async (body) => {
      if (replyMs > 0) await setTimeout(replyMs);
      const { promptTokens, asked } = readAsked(body);
      const { stream = false, id_slot: slot = 0, n_probs: candidates = 0 } = asked;
      if (stream) return { text: streamed(promptTokens, slot), isStream: true };
      if (candidates === 0) return { text: JSON.stringify(whole(promptTokens, slot)) };
      // A node asks for the probability of every id, and so for the vocabulary.
      const top = shown.slice(0, candidates).map((bytes, id) => ({ id, token: '', bytes, logprob: -1 }));
      const one = {
        index: 0,
        content: pieces[0],
        tokens: ids.slice(0, 1),
        ...finalOf(promptTokens, { slot, predicted: 1 }),
      };
      return { text: JSON.stringify({ ...one, completion_probabilities: [{ id: ids[0], top_logprobs: top }] }) };
    },
  };
}

/** Parses the body, but for the prompt's ids, which are only counted: there are thousands. */
function readAsked(body: string): { promptTokens: number; asked: Asked } {
  const start = '{"prompt":[';
  if (!body.startsWith(start)) {
    const { prompt, ...asked } = JSON.parse(body);
    return { promptTokens: prompt.length, asked };
  }
  const end = body.indexOf(']', start.length);
  let promptTokens = 1;
  for (let at = body.indexOf(',', start.length); at !== -1 && at < end; at = body.indexOf(',', at + 1)) promptTokens++;
  return { promptTokens, asked: JSON.parse(`{${body.slice(end + 2)}`) };
}

function finalOf(promptTokens: number, { slot, predicted }: { slot: number; predicted: number }) {
  return {
    id_slot: slot,
    stop: true,
    model: MODEL,
    tokens_predicted: predicted,
    tokens_evaluated: promptTokens,
    generation_settings: SETTINGS,
    prompt: '',
    has_new_line: false,
    truncated: false,
    stop_type: 'eos',
    stopping_word: '',
    tokens_cached: promptTokens + predicted - 1,
    timings: { cache_n: promptTokens - 1, prompt_n: 1, prompt_ms: 0, predicted_n: predicted, predicted_ms: 0 },
  };
}

/** As long as what llama-server repeats with every reply. */
const SETTINGS = {
  ...{ seed: 4294967295, temperature: 0, dynatemp_range: 0, dynatemp_exponent: 1, top_k: 40, top_p: 0.95, min_p: 0.05 },
  ...{ top_n_sigma: -1, xtc_probability: 0, xtc_threshold: 0.1, typical_p: 1, repeat_last_n: 64, repeat_penalty: 1 },
  ...{ presence_penalty: 0, frequency_penalty: 0, dry_multiplier: 0, dry_base: 1.75, dry_allowed_length: 2 },
  ...{ dry_penalty_last_n: 64, dry_sequence_breakers: ['\n', ':', '"', '*'], mirostat: 0, mirostat_tau: 5 },
  ...{
    mirostat_eta: 0.1,
    adaptive_target: -1,
    adaptive_decay: 0.9,
    stop: [],
    max_tokens: 128,
    n_predict: 128,
    n_keep: 0,
  },
  ...{ n_discard: 0, ignore_eos: false, stream: false, logit_bias: [], n_probs: 0, min_keep: 0, grammar: '' },
  ...{ grammar_lazy: false, grammar_triggers: [], preserved_tokens: [], chat_format: 'Content-only' },
  ...{ reasoning_format: 'deepseek', reasoning_in_content: false, generation_prompt: '' },
  samplers: ['penalties', 'dry', 'top_n_sigma', 'top_k', 'typ_p', 'top_p', 'min_p', 'xtc', 'temperature'],
  ...{
    'speculative.types': 'none',
    timings_per_token: false,
    post_sampling_probs: false,
    backend_sampling: false,
    lora: [],
  },
};

function eventOf(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
