// What the conformance suite cannot ask, of the real demo model: files that are no model, the exact state of the KV
// sequences, sampling parameters that must reach llama.cpp, half characters, a full queue, and downloads from a hub on
// loopback that answers well, badly, or not at all.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FLASH_ATTENTION } from '../../src/domain/flash-attention.ts';
import type { TokenId, TokenSequence } from '../../src/domain/token-sequence.ts';
import type { Environment } from '../../src/environment/environment.ts';
import { nodeEnvironment } from '../../src/environment/node-environment.ts';
import { WAITING_GENERATIONS_MAX } from '../../src/llm-service/embedded/sequence-pool.ts';
import { type EmbeddedOptions, startEmbedded } from '../../src/llm-service/embedded.ts';
import { connectLlamaServer } from '../../src/llm-service/llama-server.ts';
import type {
  GenerationEnd,
  GenerationPart,
  GenerationRequest,
  LlmService,
} from '../../src/llm-service/llm-service.ts';
import { resolveModelFile, STALL_MS } from '../../src/llm-service/model-file.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';

const demoPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));
const demo = readFileSync(demoPath);
const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const folder = mkdtempSync(join(tmpdir(), 'embedded-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** The demo model with one text in its metadata replaced by another of the same length. */
function patched(from: string, to: string): Buffer {
  const bytes = Buffer.from(demo);
  bytes.write(to, bytes.indexOf(from), 'latin1');
  return bytes;
}

async function generate(
  service: LlmService,
  prompt: TokenSequence,
  fields: Partial<GenerationRequest> = {},
  signal = new AbortController().signal,
): Promise<{ parts: GenerationPart[]; end: GenerationEnd }> {
  const parts: GenerationPart[] = [];
  const request = { prompt, maxTokens: 40, stop: [], sampling: { temperature: 0 }, affinity: undefined, stream: true };
  for await (const event of service.generate({ ...request, ...fields }, signal)) {
    if (event.kind === 'end') return { parts, end: event };
    if (event.kind === 'part') parts.push(event);
  }
  throw new Error('no end');
}

describe('an unusable model file', () => {
  test.each([
    ['missing', () => join(folder, 'none.gguf'), /does not exist/],
    ['a folder', () => folder, /is a folder/],
    ['not a GGUF', () => file('text.gguf', 'x'.repeat(100)), /not a GGUF/],
    ['cut in its metadata', () => file('meta.gguf', demo.subarray(0, 20_000)), /truncated or damaged/],
    ['cut in its tensors', () => file('half.gguf', demo.subarray(0, demo.length / 2)), /truncated or damaged/],
    ['a header and nothing else', () => file('head.gguf', demo.subarray(0, 30)), /truncated or damaged/],
    ['of an unknown architecture', () => file('arch.gguf', patched('llama', 'lamda')), /architecture lamda/],
    ['without a vocabulary', () => file('vocab.gguf', patched('gpt2', 'none')), /vocabulary|cannot be loaded/],
  ])('%s: the error says so and what to do', async (_, path, message) => {
    const start = startEmbedded({ modelPath: path() }, environment);
    await expect(start).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(message),
    });
  });

  test('too large for memory names what to reduce', async () => {
    const start = startEmbedded({ modelPath: demoPath, parallel: 64 * 4096 }, environment);
    await expect(start).rejects.toMatchObject({ code: 'model_unusable', message: expect.stringMatching(/memory/) });
  });

  test('leaves the process able to load a good one', async () => {
    const service = await startEmbedded({ modelPath: demoPath }, environment);
    await service.close();
  });
});

describe('the description', () => {
  test('takes the model name from the option, else from the file', async () => {
    const cases: [EmbeddedOptions, string][] = [
      [{ modelPath: demoPath, modelName: 'mine' }, 'mine'],
      [{ modelPath: file('some-model-Q8_0.gguf', demo) }, 'some-model'],
    ];
    for (const [options, expected] of cases) {
      const service = await startEmbedded(options, environment);
      expect(service.description.identity.name).toBe(expected);
      await service.close();
    }
  });

  test('keeps the context window within what the model was trained with', async () => {
    for (const [asked, contextTokens] of [
      [undefined, 4096],
      [1_000_000, 4096],
      [300, 300],
    ] as const) {
      const service = await startEmbedded({ modelPath: demoPath, contextTokens: asked }, environment);
      expect(service.description.contextTokens).toBe(contextTokens);
      await service.close();
    }
  });
});

test('flash attention changes what a turn costs, and not what is said', async () => {
  const replies: string[] = [];
  for (const flashAttention of FLASH_ATTENTION) {
    const service = await startEmbedded({ modelPath: demoPath, contextTokens: 1024, flashAttention }, environment);
    const { end } = await generate(service, await askOf(service, 'My name is Zorvik.', 'What is my name?'));
    replies.push(end.text);
    await service.close();
  }
  expect(new Set(replies)).toEqual(new Set([expect.stringContaining('Zorvik')]));
});

describe('with the demo model', () => {
  let service: LlmService;
  const ask = (...messages: string[]) => askOf(service, ...messages);

  beforeAll(async () => {
    service = await startEmbedded(
      { modelPath: demoPath, contextTokens: 2048, parallel: 2, prefillChunkTokens: 64 },
      environment,
    );
  });
  afterAll(() => service.close());

  test('it recalls what it was told', async () => {
    const { end } = await generate(service, await ask('My name is Zorvik.', 'What is my name?'));
    expect(end.text).toContain('Zorvik');
  });

  test("the parts' ids are the reply's ids, every one once", async () => {
    const { parts, end } = await generate(service, await ask('Hello.'), { stop: ['zzz'] });
    expect(parts.flatMap((part) => part.ids)).toEqual(end.ids);
  });

  test('two sessions that alternate on two sequences each evaluate only their new ids', async () => {
    const sessions = ['a', 'b'].map((affinity) => ({ affinity, known: [] as TokenId[] }));
    for (const message of ['My name is Ulric.', 'I like tea.', 'What is my name?']) {
      for (const session of sessions) {
        const added = await ask(message);
        const prompt = [...session.known, ...added];
        const { end } = await generate(service, prompt, { affinity: session.affinity });
        if (session.known.length > 0) expect(end.usage.evaluatedTokens).toBeLessThanOrEqual(added.length + 1);
        session.known = [...prompt, ...end.ids];
      }
    }
  });

  test('a third session evicts the one used longest ago and no other', async () => {
    const prompts = new Map<string, TokenId[]>();
    const turn = async (affinity: string) => {
      const prompt = prompts.get(affinity) ?? (await ask(`${affinity} is my name.`, 'Tell me a fact.'));
      const { end } = await generate(service, prompt, { affinity, maxTokens: 4 });
      prompts.set(affinity, [...prompt, ...end.ids]);
      return end.usage.cachedTokens;
    };
    await turn('Zorvik');
    await turn('Yasmin');
    await turn('Zorvik');
    await turn('Marlow');
    const prompt = prompts.get('Zorvik') as TokenId[];
    expect(await turn('Zorvik')).toBe(prompt.length - 1);
    expect(await turn('Yasmin')).toBeLessThan(10);
  });

  test('a forked session continues from the state of the one it was forked from', async () => {
    const prompt = await ask('My name is Tamsin.');
    const { end } = await generate(service, prompt, { affinity: 'origin' });
    const more = await ask('What is my name?');
    const fork = [...prompt, ...end.ids, ...more];
    const { end: forked } = await generate(service, fork, { affinity: 'fork' });
    expect(forked.usage.evaluatedTokens).toBeLessThanOrEqual(more.length + 1);
    expect(forked.text).toContain('Tamsin');
  });

  test('an abort during prefill takes effect within one chunk', async () => {
    const prompt = Array.from({ length: 1900 }, (_, i) => (200 + (i % 1500)) as TokenId);
    const abort = new AbortController();
    const aborted = generate(service, prompt, { affinity: 'aborted' }, abort.signal);
    const failed = expect(aborted).rejects.toBe(abort.signal.reason ?? 'reason');
    for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate);
    abort.abort('reason');
    await failed;
    const { end } = await generate(service, prompt, { affinity: 'aborted', maxTokens: 1 });
    expect(end.usage.cachedTokens % 64).toBe(0);
    expect(end.usage.cachedTokens).toBeLessThan(1900 / 2);
  });

  test('the window ends a reply instead of being shifted', async () => {
    const prompt = Array.from({ length: 2040 }, (_, i) => (300 + (i % 1000)) as TokenId);
    const sampling = { temperature: 0, ignore_eos: true };
    const { end } = await generate(service, prompt, { maxTokens: 500, sampling, affinity: 'full' });
    expect(end.stop).toEqual({ kind: 'limit' });
    expect(end.ids).toHaveLength(8);
    const { end: again } = await generate(service, [...prompt, ...end.ids.slice(0, 7)], { affinity: 'full' });
    expect(again.usage.cachedTokens).toBe(2046);
    expect(again.ids).toHaveLength(1);
  });

  test('a grammar is obeyed, and characters of several ids are shown whole', async () => {
    const sampling = { temperature: 0, grammar: 'root ::= "🤖🚗é" [ab]' };
    const { parts, end } = await generate(service, await ask('Hi.'), { sampling });
    expect(end.text).toMatch(/^🤖🚗é[ab]$/u);
    for (const { text } of parts) expect(text.isWellFormed() && !text.includes('\ufffd')).toBe(true);
    expect(parts.some((part) => part.text === '')).toBe(true);
  });

  test('a limit within a character leaves it out of the text, not out of the ids', async () => {
    const sampling = { temperature: 0, grammar: 'root ::= "a🤖"' };
    const { end } = await generate(service, await ask('Hi.'), { sampling, maxTokens: 3 });
    expect(end.text).toBe('a');
    expect(end.ids).toHaveLength(3);
  });

  test('what is not a grammar is refused', async () => {
    for (const grammar of ['root', 'root ::= nope', 'root ::= root']) {
      const refused = generate(service, await ask('Hi.'), { sampling: { grammar } });
      await expect(refused).rejects.toMatchObject({ code: 'invalid_request', param: 'grammar' });
    }
    expect((await generate(service, await ask('Hi.'))).end.text).not.toBe('');
  });

  test('sampling parameters change the reply as they say', async () => {
    const prompt = await ask('Hello, who are you?');
    const reply = async (sampling: Record<string, unknown>) =>
      (await generate(service, prompt, { sampling, affinity: 'sampling', maxTokens: 20 })).end;
    await reply({ temperature: 0 });
    const greedy = await reply({ temperature: 0 });
    expect((await reply({ temperature: 5, top_k: 1, seed: 1 })).ids).toEqual(greedy.ids);
    const hot = { temperature: 5, top_k: 0, top_p: 1, min_p: 0 };
    const [one, same, other] = [
      await reply({ ...hot, seed: 1 }),
      await reply({ ...hot, seed: 1 }),
      await reply({ ...hot, seed: 2 }),
    ];
    expect(same.ids).toEqual(one.ids);
    expect(other.ids).not.toEqual(one.ids);
    expect((await reply({ ...hot })).ids).not.toEqual((await reply({ ...hot })).ids);
    expect((await reply({ ...hot, min_p: 0.99, seed: 3 })).ids[0]).toBe(greedy.ids[0]);

    // What the samplers of the node leave where each leaves one is what llama.cpp's leave.
    expect((await reply({ typical_p: 0.999, top_p: 0.01, seed: 1 })).ids).toEqual(greedy.ids);
    expect((await reply({ min_keep: 2, temperature: 0 })).ids).toEqual(greedy.ids);
    const dynamic = { temperature: 5, dynatemp_range: 4, dynatemp_exponent: 0, top_p: 1, min_p: 0, n_probs: 2 };
    const drawn = await reply({ ...dynamic, seed: 1 });
    expect((await reply({ ...dynamic, seed: 1 })).ids).toEqual(drawn.ids);
    expect((await reply({ ...dynamic, seed: 2 })).ids).not.toEqual(drawn.ids);

    const first = greedy.ids[0] as TokenId;
    expect((await reply({ temperature: 0, logit_bias: [[first, false]] })).ids).not.toContain(first);
    expect(new Set((await reply({ temperature: 0, logit_bias: [[first, 1000]] })).ids)).toEqual(new Set([first]));
    const penalized = await reply({ temperature: 0, ignore_eos: true, repeat_penalty: 1000, repeat_last_n: -1 });
    expect(new Set(penalized.ids).size).toBe(20);
    for (const id of penalized.ids) expect(prompt).not.toContain(id);
    const endless = await reply({ temperature: 0, ignore_eos: true });
    for (const id of endless.ids) expect(service.description.endOfGeneration).not.toContain(id);
  });

  test('more waiting generations than it keeps are refused, the others answered', async () => {
    const prompt = await ask('Hi.');
    const outcomes = await Promise.allSettled(
      Array.from({ length: WAITING_GENERATIONS_MAX + 5 }, () => generate(service, prompt, { maxTokens: 1 })),
    );
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect(refused).toHaveLength(3);
    for (const reason of refused) expect(reason).toMatchObject({ code: 'llm_unavailable' });
  });

  test('a reader that stops reading holds no sequence', async () => {
    const stuck = await Promise.all(
      [1, 2, 3].map(async () => {
        const request = { prompt: await ask('Hi.'), maxTokens: 30, stop: [], sampling: {}, affinity: undefined };
        const events = service.generate({ ...request, stream: true }, new AbortController().signal);
        const iterator = events[Symbol.asyncIterator]();
        await iterator.next();
        return iterator;
      }),
    );
    await generate(service, await ask('Hi.'));
    for (const iterator of stuck) await iterator.return?.();
  });
});

test('a llama-server with the same model has the same identity and ids', async () => {
  const server = await startLlamaServer({ modelPath: demoPath, contextTokens: 1024, slots: 1 });
  const remote = await connectLlamaServer(
    { url: server.url, modelName: 'demo', connectTimeoutMs: 5_000, idleTimeoutMs: 60_000 },
    environment,
  );
  const local = await startEmbedded({ modelPath: demoPath, modelName: 'demo', contextTokens: 1024 }, environment);
  try {
    const { endOfGeneration: _, ...description } = local.description;
    expect(remote.description).toMatchObject(description);
    for (const id of remote.description.endOfGeneration) expect(local.description.endOfGeneration).toContain(id);
    const prompt = await askOf(local, 'My name is Zorvik.', 'What is my name?');
    expect(await askOf(remote, 'My name is Zorvik.', 'What is my name?')).toEqual(prompt);
    // Not equal replies: greedy choices may differ where two builds add floats in another order.
    for (const service of [local, remote]) expect((await generate(service, prompt)).end.text).toContain('Zorvik');

    const told = async (service: LlmService, more: object = {}) => {
      const sampling = { temperature: 0, n_probs: 3, ...more };
      const { end } = await generate(service, prompt, { stream: false, sampling });
      return end.fields?.completion_probabilities;
    };
    const first = prompt.at(-1) as TokenId;
    for (const more of [{}, { logit_bias: [[first, 5]] }, { post_sampling_probs: true }]) {
      expect(await told(local, more)).toEqual(nearly(await told(remote, more)));
    }
  } finally {
    await Promise.all([local.close(), remote.close()]);
    await server.stop();
  }
});

/** The same, but for fractions: two builds add floats in another order, and ones near 0 in another way. */
function nearly(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value), (_, inner) =>
    typeof inner === 'number' && !Number.isInteger(inner) ? expect.closeTo(inner, 1) : inner,
  );
}

async function askOf(service: LlmService, ...messages: string[]): Promise<TokenId[]> {
  const texts = messages.map((text) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`);
  return service.tokenize(texts.join('Noted.<|im_end|>\n'), { parseSpecial: true });
}

describe('a model by name', () => {
  const requests: string[] = [];
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  const hub = createServer((request, response) => {
    requests.push(request.url ?? '');
    answer(request, response);
  });
  let hubUrl: string;
  let cacheDir: string;
  const name = 'hf:org/repo:file.gguf';
  const fetchModel = (options: Partial<Parameters<typeof resolveModelFile>[1]> = {}, from: Environment = environment) =>
    resolveModelFile(name, { cacheDir, demoPath, hubUrl, ...options }, from);

  beforeAll(async () => {
    await new Promise<void>((done) => hub.listen(0, '127.0.0.1', done));
    hubUrl = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    hub.closeAllConnections();
    hub.close();
  });

  const serveDemo = (request: IncomingMessage, response: ServerResponse) => {
    const range = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '');
    const [start, end] = range ? [Number(range[1]), Number(range[2] || demo.length - 1)] : [0, demo.length - 1];
    const body = demo.subarray(start, end + 1);
    response.writeHead(range ? 206 : 200, {
      'accept-ranges': 'bytes',
      'content-length': body.length,
      ...(range ? { 'content-range': `bytes ${start}-${end}/${demo.length}` } : {}),
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  };

  test('demo is the model that comes along, anything else a path', async () => {
    const options = { cacheDir: folder, demoPath };
    expect(await resolveModelFile('demo', options, environment)).toBe(demoPath);
    expect(await resolveModelFile('some/model.gguf', options, environment)).toBe(resolve('some/model.gguf'));
  });

  test.each(['hf:', 'hf:org/repo', 'hf:org:file.gguf', 'hf:org/repo:file.bin', 'hf:org/repo:../file.gguf'])(
    '%s is refused as malformed',
    async (model) => {
      const refused = resolveModelFile(model, { cacheDir: folder, demoPath, hubUrl }, environment);
      await expect(refused).rejects.toMatchObject({ code: 'config_invalid' });
    },
  );

  test('is downloaded with progress, once, and can be loaded', async () => {
    cacheDir = join(folder, 'good');
    answer = serveDemo;
    const progress: number[] = [];
    const path = await fetchModel({
      onProgress: ({ downloadedBytes, totalBytes }) => {
        progress.push(downloadedBytes);
        expect(totalBytes).toBe(demo.length);
      },
    });
    expect(readFileSync(path).equals(demo)).toBe(true);
    expect(progress.at(-1)).toBe(demo.length);
    expect(requests[0]).toBe('/org/repo/resolve/main/file.gguf');
    requests.length = 0;
    expect(await fetchModel()).toBe(path);
    expect(requests).toEqual([]);
    await (await startEmbedded({ modelPath: path }, environment)).close();
  });

  test.each([
    [404, /no such file/],
    [401, /HF_TOKEN/],
    [403, /HF_TOKEN/],
    [500, /status 500/],
    [429, /status 429/],
  ])('a hub that answers %i gives a clear error', async (status, message) => {
    cacheDir = join(folder, `status-${status}`);
    answer = (_, response) => response.writeHead(status).end('no');
    await expect(fetchModel()).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(message),
    });
  });

  test('without a network gives a clear error, and what was downloaded before still works', async () => {
    const closed = createServer();
    await new Promise<void>((done) => closed.listen(0, '127.0.0.1', done));
    const { port } = closed.address() as AddressInfo;
    await new Promise((done) => closed.close(done));
    const offline = { hubUrl: `http://127.0.0.1:${port}` };
    cacheDir = join(folder, 'offline');
    await expect(fetchModel(offline)).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(/127\.0\.0\.1:\d+ cannot be reached; connect to the network/),
    });
    cacheDir = join(folder, 'good');
    expect(statSync(await fetchModel(offline)).size).toBe(demo.length);
  });

  test('an abort in the middle ends it and leaves no file under the name', async () => {
    cacheDir = join(folder, 'aborted');
    const abort = new AbortController();
    const reason = new Error('enough');
    answer = (request, response) => {
      if (request.headers.range === 'bytes=0-3' || request.headers.range === undefined)
        return serveDemo(request, response);
      response.writeHead(206, {
        'content-length': demo.length,
        'content-range': `bytes 0-${demo.length - 1}/${demo.length}`,
      });
      response.write(demo.subarray(0, 1000));
    };
    const aborted = fetchModel({ signal: abort.signal, onProgress: () => abort.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
    expect(readdirSync(cacheDir).filter((entry) => entry.endsWith('.gguf'))).toEqual([]);
  });

  test('a hub that falls silent is given up', async () => {
    cacheDir = join(folder, 'silent');
    const virtual = virtualEnvironment();
    let asked: () => void = () => undefined;
    const seen = new Promise<void>((resolve) => {
      asked = resolve;
    });
    answer = () => asked();
    const stalled = fetchModel({}, virtual);
    const failed = expect(stalled).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(/sent nothing for 30 s/),
    });
    await seen;
    await virtual.advance(STALL_MS);
    await failed;
  });
});
