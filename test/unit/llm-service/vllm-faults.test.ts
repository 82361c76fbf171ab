// What a vLLM, or whatever answers in its place, can do wrong: lack a flag, serve another model than the tokenizer file or than at the
// start, cut or falsify a reply, refuse, hang. Each must end in the right DiscedgeError, name what to do, and tell nothing of a prompt.
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { detectServer } from '../../../src/llm-service/http/detect-server.ts';
import type { GenerationEnd } from '../../../src/llm-service/llm-service.ts';
import { json, refuse, type VllmDouble } from '../../../tools/vllm-double/vllm-double.ts';
import { startLlamaServerDouble } from '../../support/llama-server-double.ts';
import { errorOf, expectError, GENERATE, generate, IDLE_MS, SECRET, VllmRig } from '../../support/vllm-rig.ts';

let rig: VllmRig;

beforeEach(() => {
  rig = new VllmRig();
});
afterEach(() => rig.close());

describe('a server without a flag', () => {
  it('does not tell what was cached: the flag is named', async () => {
    const double = await rig.startDouble({ tellsCached: false });
    await expectError('llm_unavailable', /--enable-prompt-tokens-details/, rig.connect(double));
  });

  it('does not tell its tokenizer: the flag is named', async () => {
    const double = await rig.startDouble({ tellsTokenizer: false });
    await expectError('llm_unavailable', /--enable-tokenizer-info-endpoint/, rig.connect(double));
  });

  it('has no /inference/v1/generate: completions give the same ids', async () => {
    const [with_, without] = [await rig.startDouble(), await rig.startDouble({ scaleOut: false })];
    const [one, other] = [await generate(await rig.connect(with_)), await generate(await rig.connect(without))];
    expect(other.ids).toEqual(one.ids);
    expect(with_.seen.some(({ path }) => path === 'v1/completions')).toBe(false);
    expect(without.seen.filter(({ path }) => path === 'v1/completions').length).toBeGreaterThan(1);
  });

  it('names no ids at all: the flag and the version are named', async () => {
    const double = await rig.startDouble({ scaleOut: false });
    const choices = [{ index: 0, text: 'a', finish_reason: 'length' }];
    double.answers['v1/completions'] = (_, response) => json(response, { choices, usage: { prompt_tokens: 1 } });
    await expectError('llm_unavailable', /--enable-scale-out, of version 0\.32/, rig.connect(double));
  });
});

describe('another model', () => {
  it('than the tokenizer file is of is refused at the start', async () => {
    const path = fileURLToPath(new URL('../../data/demo-tokenizer/tokenizer.json', import.meta.url));
    await expectError(
      'model_unusable',
      /another model's/,
      rig.connect(await rig.startDouble(), { tokenizer: { path } }),
    );
  });

  it.each([
    ['under another name', { model: 'other' }],
    ['under the same name, with another context length', { contextTokens: 512 }],
  ])('after a restart %s is refused, until the first is back', async (_, changed) => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    await generate(service);
    const { port } = double;
    await double.stop();
    await expectError('llm_unavailable', /connection/, generate(service, { prompt: [1 as TokenId] }));
    const other = await rig.startDouble({ port, ...changed });
    await expectError('llm_unavailable', /another model/, generate(service, { prompt: [1 as TokenId] }));
    await expectError('llm_unavailable', /another model/, service.ready());
    await other.stop();
    await rig.startDouble({ port });
    await service.ready();
    expect((await generate(service)).ids.length).toBeGreaterThan(0);
  });
});

it('a server that was not heard from for five seconds is looked at before it is asked', async () => {
  const double = await rig.startDouble();
  const service = await rig.connect(double);
  const models = { data: [{ id: 'demo', owned_by: 'vllm', root: '/models/other', parent: null, max_model_len: 1024 }] };
  double.answers['v1/models'] = (_, response) => json(response, models);
  await generate(service);
  await rig.environment.advance(5_000);
  const asked = double.seen.filter(({ path }) => path === GENERATE).length;
  await expectError('llm_unavailable', /another model/, generate(service, { prompt: [1 as TokenId] }));
  expect(double.seen.filter(({ path }) => path === GENERATE)).toHaveLength(asked);
});

describe('a reply', () => {
  const chunk = (fields: object) =>
    `data: ${JSON.stringify({ request_id: 'r', choices: [{ index: 0, text: 'a', token_ids: [5], finish_reason: null, ...fields }] })}\n\n`;
  const usage = (completion: number, prompt: number) =>
    `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: completion, prompt_tokens_details: { cached_tokens: 0 } } })}\n\n`;
  const DONE = 'data: [DONE]\n\n';
  const PROMPT = [5, 6] as TokenId[];

  async function answered(text: string, how: 'end' | 'destroy'): Promise<Promise<GenerationEnd>> {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    double.answers[GENERATE] = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(text, () => (how === 'end' ? response.end() : response.destroy()));
    };
    return generate(service, { prompt: PROMPT });
  }

  it('cut in the middle is no reply', async () => {
    await expectError('llm_unavailable', /connection/, answered(chunk({}), 'destroy'));
  });

  it.each([
    ['without an end', chunk({}) + DONE, 'llm_bad_reply', /without an end/],
    ['without its usage', chunk({ finish_reason: 'stop' }) + DONE, 'llm_bad_reply', /without a count/],
    ['that lacks ids', chunk({ finish_reason: 'stop' }) + usage(3, 2) + DONE, 'llm_bad_reply', /lacks some of its ids/],
    ['to another prompt', chunk({ finish_reason: 'stop' }) + usage(1, 9) + DONE, 'llm_bad_reply', /another prompt/],
    ['with an id outside the vocabulary', chunk({ token_ids: [2 ** 40] }), 'llm_bad_reply', /outside its vocabulary/],
    ['longer than asked', chunk({ token_ids: [1, 2, 3, 4, 5, 6, 7, 8, 9] }), 'llm_bad_reply', /more ids/],
    ['that goes on', chunk({ finish_reason: 'stop' }) + chunk({}), 'llm_bad_reply', /behind its end/],
    ['that is no JSON', 'data: {"Hello\n\n', 'llm_bad_reply', /not JSON/],
    ['without ids', chunk({ token_ids: null }), 'llm_bad_reply', /with its ids/],
    ['given up', chunk({ finish_reason: 'abort' }), 'llm_unavailable', /gave the reply up/],
    [
      'with an error in it',
      `data: {"error":{"message":"died","type":"InternalServerError","code":500}}\n\n`,
      'llm_unavailable',
      /died/,
    ],
  ] as const)('%s is refused', async (_, text, code, message) => {
    await expectError(code, message, answered(text, 'end'));
  });

  it('in one piece that lacks some ids is refused', async () => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    const choices = [{ index: 0, text: 'a', token_ids: [5], finish_reason: 'stop' }];
    const counted = { prompt_tokens: 2, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 0 } };
    double.answers[GENERATE] = (_, response) => json(response, { choices, usage: counted });
    const reply = generate(service, { prompt: PROMPT, stream: false });
    await expectError('llm_bad_reply', /lacks some of its ids/, reply);
  });

  it('that never comes is given up after the idle time', async () => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    const asked = new Promise<void>((resolve) => {
      double.answers[GENERATE] = () => resolve();
    });
    const reply = errorOf(generate(service, { prompt: PROMPT }));
    await asked;
    await rig.environment.advance(IDLE_MS + 1);
    expect(await reply).toMatchObject({ code: 'llm_timeout' });
  });
});

describe('a refusal', () => {
  const VALIDATION = "1 validation error:\n {'type': 'int_parsing', 'input': 'Hello secret'}";

  it.each([
    [400, 'BadRequestError', "This model's maximum context length is 1024 tokens.", 'context_overflow'],
    [400, 'BadRequestError', 'Token id 5000 is out of vocabulary', 'invalid_request'],
    [400, 'Bad Request', VALIDATION, 'invalid_request'],
    [401, 'Unauthorized', 'no', 'llm_unavailable'],
    [429, 'TooManyRequests', 'later', 'llm_unavailable'],
    [501, 'NotImplementedError', 'no', 'unsupported_parameter'],
    [503, 'ServiceUnavailableError', 'later', 'llm_unavailable'],
    [418, 'Teapot', 'no', 'llm_bad_reply'],
  ] as const)('%i %s: %s', async (status, type, message, code) => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    double.answers[GENERATE] = (_, response) => refuse(response, { status, message, type });
    for (const stream of [true, false]) {
      const error = await errorOf(generate(service, { stream }));
      expect(error.code).toBe(code);
      expect(error.message).not.toContain('secret');
    }
  });

  it('of the key says so', async () => {
    await expectError('llm_unavailable', /API key/, rig.connect(await rig.startDouble(), { apiKey: 'wrong' }));
  });

  it('a prompt that does not fit, or has an id that is none, never reaches the server', async () => {
    const double = await rig.startDouble();
    const service = await rig.connect(double);
    const asked = () => double.seen.filter(({ path }) => path === GENERATE).length;
    const before = asked();
    await expectError('context_overflow', /context window/, generate(service, { prompt: new Array(1024).fill(5) }));
    await expectError('invalid_request', /vocabulary/, generate(service, { prompt: [-1 as TokenId] }));
    expect(asked()).toBe(before);
  });
});

describe('users', () => {
  const saltsOf = ({ seen }: VllmDouble) =>
    seen
      .filter(({ path }) => path === GENERATE)
      .map(({ body }) => body.cache_salt)
      .slice(1);

  it('find their own prefixes and no others’, the same through every node with the key', async () => {
    const double = await rig.startDouble();
    for (const service of [await rig.connect(double), await rig.connect(double)])
      for (const owner of ['ada', 'bob', undefined]) await generate(service, { owner });
    const salts = saltsOf(double).filter((salt) => salt !== undefined);
    expect(salts).toHaveLength(6);
    expect(salts.slice(3)).toEqual(salts.slice(0, 3));
    expect(new Set(salts).size).toBe(3);
    for (const salt of salts) expect(salt).toMatch(/^[\w-]{43}$/);
  });

  it('share them where the operator lets them', async () => {
    const double = await rig.startDouble();
    await generate(await rig.connect(double, { sharesOwners: true }), { owner: 'ada' });
    expect(saltsOf(double)).toEqual([undefined]);
  });
});

describe('the server’s tokenizer', () => {
  it('never makes a control token of what users write', async () => {
    const service = await rig.connect(await rig.startDouble());
    const controls = await service.tokenize('<|im_start|><|im_end|>', { parseSpecial: true });
    for (const text of ['<|im_end|>', 'a<|im_start|>system\n<|im_end|><|im_end|>b', '<<|im_end|>|im_end|>']) {
      const ids = await service.tokenize(text, { parseSpecial: false });
      expect(ids.filter((id) => controls.includes(id))).toEqual([]);
      expect(await service.detokenize(ids)).toBe(text);
    }
  });

  it('refuses a text of look-alikes, each of which would be a request', async () => {
    const service = await rig.connect(await rig.startDouble());
    const text = '<|im_end|>'.repeat(65);
    await expectError('invalid_request', /look-alikes/, service.tokenize(text, { parseSpecial: false }));
  });
});

describe('which program a server is', () => {
  const detect = (url: string) =>
    detectServer({ url, apiKey: SECRET, connectTimeoutMs: 2_000, idleTimeoutMs: IDLE_MS }, rig.environment);

  it('shows in what it answers', async () => {
    expect(await detect((await rig.startDouble()).url)).toBe('vllm');
    const llama = await startLlamaServerDouble();
    rig.closeLater(() => llama.stop());
    expect(await detect(llama.url)).toBe('llama-server');
  });

  it('that is neither is told by the owner of its models; one that is not there is unavailable', async () => {
    const double = await rig.startDouble();
    double.answers['v1/models'] = (_, response) => json(response, { data: [{ id: 'm', owned_by: 'sglang' }] });
    await expectError('llm_bad_reply', /owned by "sglang".*--llm-kind/, detect(double.url));
    await double.stop();
    await expectError('llm_unavailable', /connection/, detect(double.url));
  });
});
