/**
 * What llama.cpp's own server tests ask (tools/server/tests/unit: completion, tokenize, basic, security, template), as requests
 * in our words, with what else its clients rely on. They are made for the demo model.
 */
export interface ApiCase {
  readonly name: string;
  /** POST when left out. */
  readonly method?: string;
  readonly path: string;
  readonly body?: unknown;
  /** In place of a body that is JSON. */
  readonly raw?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The fields that are compared, where it is not all. */
  readonly only?: readonly string[];
  /** To be asked of a stock llama-server that wants a key. */
  readonly keyed?: true;
  /** Why a field differs, by its path; each must differ. */
  readonly decisions?: Readonly<Record<string, string>>;
}

const MEANING = 'I believe the meaning of life is';
const LONG = `${MEANING} `.repeat(400);
const greedy = { temperature: 0, cache_prompt: false };
const tool = {
  type: 'function',
  function: { name: 'f', description: 'd', parameters: { type: 'object', properties: {} } },
};
const user = { role: 'user', content: 'hi' };

const ONE_PROMPT = 'One prompt a request: several would be several turns. Refused, and said so.';
const NO_KEYS =
  'The nodes asked here have no keys; from its first one on a node asks everyone ([security.md](security.md#keys)).';
const NO_CORS =
  'Pages of other origins are let in where `--cors-origins` names them: without keys any page that is opened could speak as any user.';
const refusal = (why: string) => ({ status: why });

export const CASES: readonly ApiCase[] = [
  { name: 'completion', path: '/completion', body: { prompt: MEANING, n_predict: 8, ...greedy } },
  {
    name: 'completion, with its ids',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 64, return_tokens: true, ...greedy },
  },
  { name: 'completion at its other path', path: '/completions', body: { prompt: MEANING, n_predict: 8, ...greedy } },
  { name: 'streamed', path: '/completion', body: { prompt: MEANING, n_predict: 8, stream: true, ...greedy } },
  {
    name: 'streamed, with progress and timings',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 8, stream: true, return_progress: true, timings_per_token: true, ...greedy },
  },
  {
    name: 'sampled with a seed',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 8, seed: 42, temperature: 1 },
    only: ['stop', 'generation_settings.seed', 'generation_settings.temperature'],
  },
  { name: 'a prompt of ids', path: '/completion', body: { prompt: [41, 2, 3, 4], n_predict: 4, ...greedy } },
  {
    name: 'a prompt of texts and ids',
    path: '/completion',
    body: { prompt: [1, 2, 3, MEANING, 7, 8, MEANING], n_predict: 4, ...greedy },
  },
  {
    name: 'several prompts of ids',
    path: '/completion',
    body: {
      prompt: [
        [1, 2],
        [1, 2],
      ],
      n_predict: 2,
      ...greedy,
    },
    only: [],
    decisions: refusal(ONE_PROMPT),
  },
  {
    name: 'several prompts of text',
    path: '/completion',
    body: { prompt: ['a', 'b'], n_predict: 2, ...greedy },
    only: [],
    decisions: refusal(ONE_PROMPT),
  },
  {
    name: 'a prompt of control tokens',
    path: '/completion',
    body: { prompt: '<|im_start|>user\nhi<|im_end|>\n', n_predict: 4, ...greedy },
  },
  { name: 'a NUL in a prompt', path: '/completion', body: { prompt: 'a\u0000b', n_predict: 4, ...greedy } },
  {
    name: 'an empty prompt',
    path: '/completion',
    body: { prompt: '', n_predict: 4, ...greedy },
    only: [],
    decisions: refusal('An empty message is a slip: refused, where llama.cpp answers with nothing.'),
  },
  { name: 'no prompt', path: '/completion', body: { n_predict: 4 } },
  { name: 'a prompt that is a number', path: '/completion', body: { prompt: 5 } },
  { name: 'a prompt without ids', path: '/completion', body: { prompt: [] } },
  { name: 'an id outside the vocabulary', path: '/completion', body: { prompt: [99_999], n_predict: 2 } },
  { name: 'a prompt that is too long', path: '/completion', body: { prompt: LONG, cache_prompt: false } },
  { name: 'a prompt that is too long, streamed', path: '/completion', body: { prompt: LONG, stream: true } },
  {
    name: 'a reply that the window cuts',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 4_000, ignore_eos: true, ...greedy },
    only: ['truncated', 'stop_type', 'tokens_evaluated'],
  },
  {
    name: 'no reply at all (n_predict 0)',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 0, ...greedy },
    decisions: {
      content: 'llama.cpp samples one id all the same, and shows it; here none is, as asked.',
      tokens_predicted: 'The same: none.',
    },
  },
  { name: 'a stop word', path: '/completion', body: { prompt: MEANING, n_predict: 32, stop: ['e'], ...greedy } },
  {
    name: 'an end',
    path: '/completion',
    body: { prompt: '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n', n_predict: 200, ...greedy },
  },
  {
    name: 'a grammar',
    path: '/completion',
    body: { prompt: MEANING, grammar: 'root ::= "a"{5,5}', n_predict: 8, ...greedy },
    only: ['content', 'stop_type'],
  },
  {
    name: 'fields by name',
    path: '/completion',
    body: {
      prompt: MEANING,
      n_predict: 32,
      response_fields: ['content', 'generation_settings/n_predict', 'prompt'],
      ...greedy,
    },
  },
  {
    name: 'fields by name: none',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 8, response_fields: [], ...greedy },
  },
  {
    name: 'fields by name, streamed',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 8, stream: true, response_fields: ['content', 'timings'], ...greedy },
  },
  {
    name: 'fields by name that are no list',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 4, response_fields: 'content' },
    only: [],
    decisions: refusal('A field of the wrong type is refused, where llama.cpp ignores it.'),
  },
  { name: 'n_predict that is no number', path: '/completion', body: { prompt: 'x', n_predict: 'a' } },
  { name: 'n_predict below −1', path: '/completion', body: { prompt: 'x', n_predict: -5 } },
  { name: 'temperature that is no number', path: '/completion', body: { prompt: 'x', temperature: 'hot' } },
  { name: 'a body that is not JSON', path: '/completion', raw: '{"prompt":"x"' },
  {
    name: 'probabilities',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 5, n_probs: 10, ...greedy },
  },
  {
    name: 'probabilities, streamed',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 5, n_probs: 10, stream: true, ...greedy },
  },
  {
    name: 'probabilities after sampling',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 5, n_probs: 10, post_sampling_probs: true, ...greedy },
  },
  {
    name: 'a JSON schema',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 16, json_schema: { const: 'foo' }, ...greedy },
    only: ['content', 'stop_type'],
  },
  {
    name: 'a null is nothing',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 8, stop: null, seed: null, ...greedy },
  },

  { name: 'tokenize', path: '/tokenize', body: { content: 'What is the capital of France ?' } },
  {
    name: 'tokenize with BOS',
    path: '/tokenize',
    body: { content: 'What is the capital of France ?', add_special: true },
  },
  { name: 'tokenize control tokens', path: '/tokenize', body: { content: '<|im_start|>user' } },
  {
    name: 'tokenize control tokens as text',
    path: '/tokenize',
    body: { content: '<|im_start|>user', parse_special: false },
  },
  {
    name: 'tokenize with pieces',
    path: '/tokenize',
    body: { content: 'unicode 媽 and emoji 🤗 é\u0000<|im_end|>', with_pieces: true },
  },
  { name: 'tokenize texts and ids', path: '/tokenize', body: { content: [1, 2, 'hi'] } },
  { name: 'tokenize nothing', path: '/tokenize', body: { content: '' } },
  { name: 'tokenize without content', path: '/tokenize', body: {} },
  { name: 'tokenize a number', path: '/tokenize', body: { content: 5 } },
  { name: 'detokenize', path: '/detokenize', body: { tokens: [1696, 465, 482, 32, 272] } },
  { name: 'detokenize control tokens and NUL', path: '/detokenize', body: { tokens: [2046, 272, 0, 2047] } },
  { name: 'detokenize half a character', path: '/detokenize', body: { tokens: [229] } },
  { name: 'detokenize without ids', path: '/detokenize', body: {} },
  {
    name: 'detokenize outside the vocabulary',
    path: '/detokenize',
    body: { tokens: [99_999] },
    decisions: {
      status: 'The request is at fault, not the server.',
      'error.code': 'As the status.',
    },
  },

  { name: 'health', method: 'GET', path: '/health' },
  { name: 'health at its other path', method: 'GET', path: '/v1/health' },
  {
    name: 'props',
    method: 'GET',
    path: '/props',
    only: ['total_slots', 'default_generation_settings.n_ctx', 'chat_template', 'eos_token', 'bos_token'],
  },
  {
    name: 'props: the file',
    method: 'GET',
    path: '/props',
    only: ['model_path'],
    decisions: { model_path: "Paths of the node's machine are nobody's business; `model_alias` has the name." },
  },
  {
    name: 'props: the sampling defaults',
    method: 'GET',
    path: '/props',
    only: ['default_generation_settings.params.temperature'],
    decisions: {
      'default_generation_settings.params.temperature': '`generation_settings` of a reply says what applied.',
    },
  },
  {
    name: 'models',
    method: 'GET',
    path: '/models',
    only: ['object', 'data[]', 'data[].id', 'data[].object', 'data[].meta.n_ctx', 'data[].meta.n_vocab'],
  },
  { name: 'models at its other path', method: 'GET', path: '/v1/models', only: ['object', 'data[]', 'data[].id'] },
  {
    name: 'slots',
    method: 'GET',
    path: '/slots',
    only: ['[]', '[].id', '[].n_ctx', '[].speculative', '[].is_processing'],
  },
  {
    name: 'slots: what they worked on',
    method: 'GET',
    path: '/slots',
    only: ['[].n_prompt_tokens_cache', '[].params.temperature'],
    decisions: {
      '[].n_prompt_tokens_cache': "What a slot has worked on is its user's business.",
      '[].params.temperature': 'The same.',
    },
  },
  {
    name: 'its page, switched off',
    method: 'GET',
    path: '/',
    only: [],
  },
  { name: 'a route that is not there', method: 'GET', path: '/nope' },
  {
    name: 'a wrong method',
    method: 'DELETE',
    path: '/completion',
    only: [],
    decisions: refusal('There is a route, and `allow` says for which methods.'),
  },

  {
    name: 'a template',
    path: '/apply-template',
    body: { messages: [{ role: 'system', content: 'You are a test.' }, user] },
  },
  {
    name: 'a template, parts',
    path: '/apply-template',
    body: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
    },
  },
  {
    name: 'a template without a generation prompt',
    path: '/apply-template',
    body: { messages: [user], add_generation_prompt: false },
  },
  {
    name: 'a template, a reply to go on with',
    path: '/apply-template',
    body: { messages: [user, { role: 'assistant', content: 'Wh' }] },
  },
  {
    name: 'a template, control tokens in a message',
    path: '/apply-template',
    body: { messages: [{ role: 'user', content: 'a<|im_end|>b' }] },
  },
  { name: 'a template, no tools', path: '/apply-template', body: { messages: [user], tools: [] } },
  {
    name: 'a template, tools',
    path: '/apply-template',
    body: { messages: [user], tools: [tool] },
    only: [],
    decisions: refusal(
      'This route gives a template no tools (turns do): refused, where a template that reads none drops them in silence.',
    ),
  },
  { name: 'a template, no messages at all', path: '/apply-template', body: {} },
  { name: 'a template, messages that are text', path: '/apply-template', body: { messages: 'x' } },
  { name: 'a template, an empty message', path: '/apply-template', body: { messages: [{}] } },
  {
    name: 'a template, a role that is a number',
    path: '/apply-template',
    body: { messages: [{ role: 123, content: 'x' }] },
    decisions: {
      status: 'The request is at fault, not the server.',
      'error.code': 'As the status.',
    },
  },
  {
    name: 'a template, an empty list',
    path: '/apply-template',
    body: { messages: [] },
    only: [],
    decisions: refusal('A conversation has at least one message.'),
  },

  {
    name: 'no key',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 2, ...greedy },
    keyed: true,
    only: [],
    decisions: refusal(NO_KEYS),
  },
  {
    name: 'a wrong key',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 2, ...greedy },
    keyed: true,
    only: [],
    headers: { Authorization: 'Bearer wrong' },
    decisions: refusal(NO_KEYS),
  },
  {
    name: 'a right key',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 2, ...greedy },
    keyed: true,
    only: ['content'],
    headers: { Authorization: 'Bearer sk-test' },
  },
  {
    name: 'a right key in the other header',
    path: '/completion',
    body: { prompt: MEANING, n_predict: 2, ...greedy },
    keyed: true,
    only: ['content'],
    headers: { 'X-Api-Key': 'sk-test' },
  },
  { name: 'health without a key', method: 'GET', path: '/health', keyed: true },
  {
    name: 'models without a key',
    method: 'GET',
    path: '/models',
    keyed: true,
    only: ['object'],
    decisions: { status: NO_KEYS, object: NO_KEYS },
  },
  {
    name: 'another origin asks first',
    method: 'OPTIONS',
    path: '/completions',
    headers: { Origin: 'web.mydomain.fr', 'Access-Control-Request-Method': 'POST' },
    only: ['header access-control-allow-origin'],
    decisions: { status: NO_CORS, 'header access-control-allow-origin': NO_CORS },
  },
  {
    name: "OpenAI's completions",
    path: '/v1/completions',
    body: { prompt: MEANING, max_tokens: 8 },
    only: [],
  },
  {
    name: "OpenAI's chat",
    path: '/v1/chat/completions',
    body: { messages: [user], max_tokens: 8 },
    only: [],
  },
];

export const KEY = 'sk-test';
