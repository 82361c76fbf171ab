import type { ServerResponse } from 'node:http';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import type {
  GenerationEnd,
  GenerationPart,
  GenerationRequest,
  LlmService,
} from '../../src/llm-service/llm-service.ts';
import type { PrefixCache } from './prefix-cache.ts';

export type GenerationApi = 'generate' | 'completions';

export interface GenerationRoutes {
  readonly engine: LlmService;
  readonly model: string;
  readonly cache: PrefixCache;
  readonly tellsCached: boolean;
}

type Body = Readonly<Record<string, unknown>>;

/** vLLM's names of what llama.cpp calls otherwise. */
const LLAMA_CPP_NAMES: Readonly<Record<string, string>> = {
  ...{ temperature: 'temperature', top_k: 'top_k', top_p: 'top_p', min_p: 'min_p', seed: 'seed' },
  ...{ repetition_penalty: 'repeat_penalty', presence_penalty: 'presence_penalty' },
  ...{
    frequency_penalty: 'frequency_penalty',
    logit_bias: 'logit_bias',
    ignore_eos: 'ignore_eos',
    logprobs: 'n_probs',
  },
};

/** Answers `/inference/v1/generate` and `/v1/completions`, whole and streamed, in vLLM 0.32's shapes. */
export async function answerGeneration(
  api: GenerationApi,
  body: Body,
  { response, routes }: { readonly response: ServerResponse; readonly routes: GenerationRoutes },
): Promise<void> {
  const { engine, cache } = routes;
  const parameters = (api === 'generate' ? body.sampling_params : body) as Body;
  const prompt = (api === 'generate' ? body.token_ids : body.prompt) as TokenId[];
  const salt = String(body.cache_salt ?? '');
  const cachedTokens = cache.find(prompt, salt);
  const request = engineRequest(prompt, { parameters, stream: body.stream === true, salt });
  const shape = new Shape(api, { routes, promptTokens: prompt.length, cachedTokens });
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  let end: GenerationEnd | undefined;
  for await (const event of engine.generate(request, gone.signal)) {
    if (event.kind === 'end') end = event;
    else if (event.kind === 'part' && request.stream) {
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      response.write(eventOf(shape.chunk(event)));
    }
  }
  const whole = end as GenerationEnd;
  cache.keep([...prompt, ...whole.ids.slice(0, -1)], salt);
  if (!request.stream) {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(shape.whole(whole)));
    return;
  }
  if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  response.write(eventOf(shape.lastChunk(whole)));
  response.write(eventOf(shape.usageChunk(whole)));
  response.end(`data: [DONE]\n\n`);
}

function engineRequest(
  prompt: TokenId[],
  { parameters, stream, salt }: { readonly parameters: Body; readonly stream: boolean; readonly salt: string },
): GenerationRequest {
  const sampling: Record<string, unknown> = { repeat_last_n: -1 };
  for (const [name, value] of Object.entries(parameters)) {
    const own = LLAMA_CPP_NAMES[name];
    if (own !== undefined) sampling[own] = value;
  }
  const { grammar } = (parameters.structured_outputs ?? {}) as { grammar?: unknown };
  if (grammar !== undefined) sampling.grammar = grammar;
  const stop = (parameters.stop ?? []) as string[];
  const maxTokens = (parameters.max_tokens ?? 16) as number;
  return { prompt, maxTokens, stop, sampling, affinity: undefined, owner: salt, stream };
}

interface Counts {
  readonly routes: GenerationRoutes;
  readonly promptTokens: number;
  readonly cachedTokens: number;
}

class Shape {
  readonly #api: GenerationApi;
  readonly #counts: Counts;
  readonly #id = 'cmpl-double';
  #told = 0;

  constructor(api: GenerationApi, counts: Counts) {
    this.#api = api;
    this.#counts = counts;
  }

  chunk({ text, ids, fields }: GenerationPart) {
    this.#told += ids.length;
    return { ...this.#head(), choices: [this.#choice({ text, ids, fields }, { finish: null, reason: null })] };
  }

  /** What the engine held back of the ids, and why the reply ended. */
  lastChunk(end: GenerationEnd) {
    const ids = end.ids.slice(this.#told);
    return { ...this.#head(), choices: [this.#choice({ text: '', ids, fields: undefined }, finishOf(end))] };
  }

  usageChunk(end: GenerationEnd) {
    return { ...this.#head(), choices: [], usage: this.#usage(end) };
  }

  whole(end: GenerationEnd) {
    return { ...this.#head(), choices: [this.#choice(end, finishOf(end))], usage: this.#usage(end) };
  }

  #head() {
    const { model } = this.#counts.routes;
    return this.#api === 'generate'
      ? { request_id: this.#id, model, output_mode: 'text', usage: null }
      : { id: this.#id, object: 'text_completion', created: 0, model };
  }

  #choice(
    { text, ids, fields }: { text: string; ids: readonly TokenId[]; fields?: Body | undefined },
    { finish, reason }: { readonly finish: string | null; readonly reason: string | null },
  ) {
    const logprobs = this.#api === 'generate' ? null : logprobsOf(fields);
    return { index: 0, text, logprobs, finish_reason: finish, stop_reason: reason, token_ids: ids };
  }

  #usage({ ids }: GenerationEnd) {
    const { promptTokens, cachedTokens, routes } = this.#counts;
    const details = routes.tellsCached ? { prompt_tokens_details: { cached_tokens: cachedTokens } } : {};
    const counts = { prompt_tokens: promptTokens, completion_tokens: ids.length };
    return { ...counts, total_tokens: promptTokens + ids.length, ...details };
  }
}

function finishOf({ stop }: GenerationEnd) {
  if (stop.kind === 'limit') return { finish: 'length', reason: null };
  return { finish: 'stop', reason: stop.kind === 'word' ? stop.word : null };
}

interface Told {
  readonly id: number;
  readonly logprob: number;
  readonly top_logprobs: readonly { readonly id: number; readonly logprob: number }[];
}

function logprobsOf(fields: Body | undefined) {
  const told = fields?.completion_probabilities as readonly Told[] | undefined;
  if (told === undefined) return null;
  const mark = (id: number) => `token_id:${id}`;
  return {
    text_offset: told.map(() => 0),
    token_logprobs: told.map(({ logprob }) => logprob),
    tokens: told.map(({ id }) => mark(id)),
    top_logprobs: told.map((one) => Object.fromEntries(one.top_logprobs.map(({ id, logprob }) => [mark(id), logprob]))),
  };
}

function eventOf(chunk: object): string {
  return `data: ${JSON.stringify(chunk)}\n\n`;
}
