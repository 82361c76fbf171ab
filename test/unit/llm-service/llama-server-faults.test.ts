// What a llama-server, or whatever answers in its place, can do wrong: not be there, hang, cut the reply, talk nonsense,
// become another model. Each must end in the right DiscedgeError in bounded time, close its socket, and leave the
// service usable. A loopback double does it, because a real server does not misbehave on demand.
import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DiscedgeError, ErrorCode } from '../../../src/domain/errors.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { connectLlamaServer, type LlamaServerOptions } from '../../../src/llm-service/llama-server.ts';
import type { GenerationEvent, GenerationRequest, LlmService } from '../../../src/llm-service/llm-service.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';
import {
  type Answer,
  chunk,
  DOUBLE_CONTEXT_TOKENS,
  DOUBLE_END,
  DOUBLE_VOCABULARY,
  events,
  final,
  json,
  type LlamaServerDouble,
  ok,
  startLlamaServerDouble,
} from '../../support/llama-server-double.ts';

const IDLE_MS = 30_000;
const CONNECT_MS = 2_000;
const PROMPT = [...Buffer.from('hello')] as TokenId[];
const SECRET = 'k-3fd0';

let double: LlamaServerDouble;
let environment: ReturnType<typeof virtualEnvironment>;
let service: LlmService;

const connect = (options: Partial<LlamaServerOptions> = {}) =>
  connectLlamaServer(
    { url: double.url, apiKey: SECRET, connectTimeoutMs: CONNECT_MS, idleTimeoutMs: IDLE_MS, ...options },
    environment,
  );

beforeEach(async () => {
  double = await startLlamaServerDouble();
  environment = virtualEnvironment();
  service = await connect();
});
afterEach(async () => {
  await service.close();
  await double.stop();
  expect(environment.pendingTimers).toBe(0);
});

const request = (fields: Partial<GenerationRequest> = {}): GenerationRequest => ({
  prompt: PROMPT,
  maxTokens: 8,
  stop: [],
  sampling: {},
  affinity: 'a',
  stream: true,
  ...fields,
});

async function generate(
  fields: Partial<GenerationRequest> = {},
  signal = new AbortController().signal,
): Promise<GenerationEvent[]> {
  const seen: GenerationEvent[] = [];
  for await (const event of service.generate(request(fields), signal)) seen.push(event);
  return seen;
}

async function failure(work: Promise<unknown>): Promise<DiscedgeError> {
  const error = await work.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason as Error,
  );
  expect(error).toMatchObject({ name: 'DiscedgeError' });
  expect(error.message).not.toContain(SECRET);
  expect(error.message).not.toContain('hello');
  return error as DiscedgeError;
}

async function expectFailure(code: ErrorCode, work: Promise<unknown>): Promise<void> {
  expect((await failure(work)).code).toBe(code);
}

/** Both kinds of request fail with `code`, and a good reply afterwards is taken again. */
async function expectBoth(code: ErrorCode, answer: Answer): Promise<void> {
  for (const stream of [true, false]) {
    double.answers.completion = answer;
    await expectFailure(code, generate({ stream }));
  }
  await expectUsable();
}

async function expectUsable(): Promise<void> {
  double.answers.completion = ok;
  for (const stream of [true, false, true]) {
    const end = (await generate({ stream })).at(-1);
    expect(end).toMatchObject({ kind: 'end', text: 'ok', exact: true, ids: [111, 107, DOUBLE_END] });
  }
}

describe('a server that is not there', () => {
  test('refuses the start, and later requests', async () => {
    await double.stop();
    await expectFailure('llm_unavailable', connect());
    await expectFailure('llm_unavailable', generate());
    await expectFailure('llm_unavailable', service.tokenize('hello', { parseSpecial: false }));
    await expectFailure('llm_unavailable', service.ready());
    double = await startLlamaServerDouble({ port: double.port });
    await service.ready();
    await expectUsable();
  });

  test('or is still loading, or fails, is unavailable', async () => {
    const loading = json({ error: { code: 503, message: 'Loading model', type: 'unavailable_error' } }, 503);
    await expectBoth('llm_unavailable', loading);
    await expectBoth('llm_unavailable', (_, response) => response.writeHead(502).end('<html>Bad gateway</html>'));
    double.answers.health = loading;
    await expectFailure('llm_unavailable', service.ready());
    await expectFailure('llm_unavailable', connect());
  });

  test('that wants another key says so, and is sent the one there is', async () => {
    double.answers.props = json(
      { error: { code: 401, message: 'Invalid API Key', type: 'authentication_error' } },
      401,
    );
    const seen = double.next('props');
    const error = await failure(connect());
    expect(error).toMatchObject({ code: 'llm_unavailable', message: expect.stringContaining('API key') });
    expect((await seen).headers.authorization).toBe(`Bearer ${SECRET}`);
  });

  test('that never completes the connection is given up', async () => {
    const mute: Server = createServer((socket) => socket.on('error', () => {}).resume());
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const accepted = new Promise((resolve) => mute.once('connection', resolve));
    // Behind TLS an accepted connection is none until the handshake is done.
    const { port } = mute.address() as { port: number };
    const connecting = connect({ url: `https://127.0.0.1:${port}` });
    connecting.catch(() => undefined);
    await accepted;
    await environment.advance(CONNECT_MS);
    await expectFailure('llm_unavailable', connecting);
    await new Promise((resolve) => mute.close(resolve));
  });
});

describe('a server that hangs', () => {
  const silent: Answer = () => {};
  const pinging: Answer = (_, response) => response.writeHead(200).write(': ping\n\n');
  const stalled: Answer = events([chunk('o', [111], 1)], { end: false });
  const halfJson: Answer = (_, response) => response.writeHead(200).write('{"content":');

  test('is given up after the idle time, and its socket is closed', async () => {
    for (const [answer, stream] of [
      [silent, true],
      [silent, false],
      [stalled, true],
      [halfJson, false],
    ] as const) {
      double.answers.completion = answer;
      const seen = double.next('completion');
      const generation = generate({ stream });
      generation.catch(() => undefined);
      const { closed } = await seen;
      await waitInVain(generation);
      await expectFailure('llm_timeout', generation);
      await closed;
    }
    await expectUsable();
  });

  test('is given up though it sends pings', async () => {
    double.answers.completion = pinging;
    const seen = double.next('completion');
    const generation = generate();
    generation.catch(() => undefined);
    const { closed } = await seen;
    await waitInVain(generation);
    await expectFailure('llm_timeout', generation);
    await closed;
  });

  test('is not what a slow reader is', async () => {
    let goOn = () => {};
    double.answers.completion = (_, response) => {
      response.writeHead(200).write(`data: ${JSON.stringify(chunk('o', [111], 1))}\n\n`);
      goOn = () => response.end(`data: ${JSON.stringify(final(PROMPT.length, 1))}\n\n`);
    };
    const iterator = service.generate(request(), new AbortController().signal)[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toMatchObject({ kind: 'part', text: 'o' });
    await environment.advance(10 * IDLE_MS);
    goOn();
    expect((await iterator.next()).value).toMatchObject({ kind: 'end', text: 'o' });
    await iterator.return?.();
  });

  test('is left at once when the request is aborted, and its socket is closed', async () => {
    for (const [answer, stream] of [
      [silent, true],
      [silent, false],
      [stalled, true],
      [halfJson, false],
    ] as const) {
      double.answers.completion = answer;
      const controller = new AbortController();
      const seen = double.next('completion');
      const generation = generate({ stream }, controller.signal);
      generation.catch(() => undefined);
      const { closed } = await seen;
      const reason = new Error('enough');
      controller.abort(reason);
      await expect(generation).rejects.toBe(reason);
      await closed;
    }
    await expectUsable();
  });

  test('is left when the iteration is broken off', async () => {
    double.answers.completion = stalled;
    const seen = double.next('completion');
    for await (const _ of service.generate(request(), new AbortController().signal)) break;
    await (await seen).closed;
  });

  test('does not hold up closing', async () => {
    double.answers.completion = silent;
    const seen = double.next('completion');
    const generations = [generate(), generate({ stream: false }), generate()];
    for (const generation of generations) generation.catch(() => undefined);
    await seen;
    await service.close();
    for (const generation of generations) await expectFailure('llm_unavailable', generation);
  });
});

test('readers that read no more do not hold up closing for those who wait', async () => {
  for (let slot = 0; slot < 2; slot++) {
    const iterator = service.generate(request(), new AbortController().signal)[Symbol.asyncIterator]();
    await iterator.next();
  }
  const waiting = generate();
  waiting.catch(() => undefined);
  await service.close();
  await expectFailure('llm_unavailable', waiting);
});

describe('a reply that is cut', () => {
  test('by a broken connection is unavailable', async () => {
    await expectBoth('llm_unavailable', (_, response) => {
      response.writeHead(200).write(`data: ${JSON.stringify(chunk('o', [111], 1))}\n\n`, () => response.destroy());
    });
    await expectBoth('llm_unavailable', (_, response) => response.destroy());
  });

  test('by an orderly end before its own is a bad reply', async () => {
    await expectBoth('llm_bad_reply', events([chunk('o', [111], 1)]));
    await expectBoth('llm_bad_reply', events([]));
    await expectBoth('llm_bad_reply', (_, response) => response.writeHead(200).end('data: {"content"'));
  });
});

describe('connections', () => {
  const PIECES = 3;

  test('are kept from request to request, and not beyond a stream', async () => {
    const before = double.connections;
    for (let i = 0; i < PIECES; i++) await service.tokenize('hello', { parseSpecial: false });
    expect(double.connections).toBeLessThanOrEqual(before + 1);
    await generate({ stream: true });
    const opened = double.connections;
    await generate({ stream: false });
    expect(double.connections).toBe(opened + 1);
  });

  test('that were kept and are closed when a request comes cost one more, on a new one', async () => {
    for (const stream of [true, false]) {
      await service.tokenize('hello', { parseSpecial: false });
      let refusals = 0;
      double.answers.completion = (_, response) => {
        refusals++;
        double.answers.completion = ok;
        response.socket?.resetAndDestroy();
      };
      expect((await generate({ stream })).at(-1)).toMatchObject({ kind: 'end', text: 'ok' });
      expect(refusals).toBe(1);
    }
  });

  test('that are closed again and again end the request', async () => {
    let requests = 0;
    double.answers.completion = (_, response) => {
      requests++;
      response.socket?.resetAndDestroy();
    };
    await service.tokenize('hello', { parseSpecial: false });
    await expectFailure('llm_unavailable', generate());
    expect(requests).toBe(2);
  });

  test('that are cut within a reply are not tried again', async () => {
    let requests = 0;
    double.answers.completion = (_, response) => {
      requests++;
      response.writeHead(200, { 'content-length': 100 }).write('{', () => response.socket?.resetAndDestroy());
    };
    await service.tokenize('hello', { parseSpecial: false });
    await expectFailure('llm_unavailable', generate({ stream: false }));
    expect(requests).toBe(1);
  });
});

describe('nonsense', () => {
  test('is a bad reply', async () => {
    const good = final(PROMPT.length, 1, { content: 'o', tokens: [111] });
    const nonsense: unknown[] = [
      null,
      [],
      'text',
      {},
      [good, good],
      { ...good, content: 7 },
      { ...good, tokens: ['o'] },
      { ...good, tokens: [1.5] },
      { ...good, tokens: [-1] },
      { ...good, tokens: [DOUBLE_VOCABULARY] },
      { ...good, tokens_predicted: -1 },
      { ...good, tokens_predicted: 1e300 },
      { ...good, stop_type: 'none' },
      { ...good, timings: undefined },
      { ...good, timings: { ...good.timings, cache_n: -1 } },
      { ...good, timings: { ...good.timings, prompt_ms: 'fast' } },
      { ...good, tokens_evaluated: PROMPT.length - 1 },
      { ...good, truncated: true },
    ];
    for (const value of nonsense) {
      double.answers.completion = json(value);
      await expectFailure('llm_bad_reply', generate({ stream: false }));
      double.answers.completion = events([{ ...chunk('o', [111], 1) }, value]);
      await expectFailure('llm_bad_reply', generate());
    }
    await expectUsable();
  });

  test('in the counts of a reply is a bad reply', async () => {
    for (const tokens of [[], [111, 107]]) {
      double.answers.completion = json(final(PROMPT.length, 1, { content: 'o', tokens }));
      await expectFailure('llm_bad_reply', generate({ stream: false }));
    }
    const streams = [
      [chunk('o', [111], 0)],
      [chunk('o', [111], 2), chunk('k', [107], 1)],
      [chunk('o', [111], 1), final(PROMPT.length, 0)],
      [chunk('o', [111], 9), final(PROMPT.length, 9)],
    ];
    for (const stream of streams) {
      double.answers.completion = events(stream);
      await expectFailure('llm_bad_reply', generate({ maxTokens: 8 }));
    }
    await expectUsable();
  });

  test('that is no JSON, no HTTP, another page or another server is a bad reply', async () => {
    await expectBoth('llm_bad_reply', (_, response) => response.writeHead(200).end('<html>hello</html>'));
    await expectBoth('llm_bad_reply', (_, response) => response.writeHead(404).end('<html>hello</html>'));
    await expectBoth('llm_bad_reply', (_, response) => response.socket?.end('hello, this is not HTTP\r\n\r\n'));
    for (const path of ['props', 'v1/models', 'tokenize', 'health']) {
      const usual = double.answers[path] as Answer;
      for (const value of ['<html>', {}, { tokens: [DOUBLE_VOCABULARY] }, { tokens: 'hello', data: [] }]) {
        if (path === 'health' && typeof value !== 'string') continue;
        double.answers[path] = typeof value === 'string' ? (_, to) => to.writeHead(200).end(value) : json(value);
        await expectFailure('llm_bad_reply', connect());
      }
      double.answers[path] = usual;
    }
  });

  test('without an end is cut off', async () => {
    for (const status of [200, 500]) {
      let isClosed = false;
      double.answers.completion = (_, response) => {
        response.on('close', () => {
          isClosed = true;
        });
        response.writeHead(status);
        const more = () => {
          while (!isClosed && response.write('x'.repeat(1024 * 1024)));
        };
        response.on('drain', more);
        more();
      };
      const seen = double.next('completion');
      await failure(generate({ stream: true }));
      await (await seen).closed;
    }
  });
});

describe('a request that the server refuses', () => {
  const refused = (error: object, status = 400) => json({ error: { code: status, ...error } }, status);

  test('is invalid, with what the server says of it', async () => {
    const message = "Field 'temperature': type must be number, but is string";
    double.answers.completion = refused({ message, type: 'invalid_request_error' });
    const error = await failure(generate());
    expect(error).toMatchObject({ code: 'invalid_request', message });
  });

  test('is never quoted', async () => {
    const message = "[json.exception.parse_error.101] parse error; last read: '\"hello'";
    await expectBoth('invalid_request', refused({ message, type: 'invalid_request_error' }));
  });

  test('for its length is an overflow, told by status or in the stream', async () => {
    const error = { message: 'request (99 tokens) exceeds', type: 'exceed_context_size_error' };
    await expectBoth('context_overflow', refused(error));
    double.answers.completion = events([{ error: { code: 400, ...error } }]);
    await expectFailure('context_overflow', generate());
  });

  test('in the middle of its stream fails as it would have at the start', async () => {
    const error = { code: 500, message: 'Compute error.', type: 'server_error' };
    double.answers.completion = events([chunk('o', [111], 1), { error }]);
    await expectFailure('llm_unavailable', generate());
  });

  test('never leaves here when it cannot fit', async () => {
    double.answers.completion = (_, response) => response.destroy();
    const longest = new Array<TokenId>(DOUBLE_CONTEXT_TOKENS).fill(111 as TokenId);
    await expectFailure('context_overflow', generate({ prompt: longest }));
    await expectFailure('invalid_request', generate({ prompt: [] }));
    await expectFailure('invalid_request', generate({ maxTokens: -1 }));
    await expectFailure('unsupported_parameter', generate({ sampling: { n_cmpl: 2 } }));
  });

  test('asks for no more than the context window has room for', async () => {
    const seen = double.next('completion');
    const prompt = new Array<TokenId>(DOUBLE_CONTEXT_TOKENS - 3).fill(111 as TokenId);
    await generate({ prompt, maxTokens: 1_000 });
    expect((await seen).body.n_predict).toBe(3);
  });
});

describe('a server that becomes another one', () => {
  const otherTemplate = json({
    total_slots: 2,
    default_generation_settings: { n_ctx: DOUBLE_CONTEXT_TOKENS },
    model_alias: 'double',
    chat_template: 'another template',
    eos_token: '<|im_end|>',
  });

  test('behind a failure is refused until the first is back', async () => {
    const { props, completion } = double.answers;
    double.answers.completion = (_, response) => response.destroy();
    await expectFailure('llm_unavailable', generate());
    double.answers.completion = completion as Answer;
    double.answers.props = otherTemplate;
    const asked = [
      ...[() => generate(), () => generate({ stream: false }), () => service.ready()],
      ...[() => service.tokenize('a', { parseSpecial: false }), () => service.pieces(PROMPT)],
      ...[() => service.detokenize(PROMPT, { special: true })],
    ];
    for (const work of asked) {
      expect(await failure(work())).toMatchObject({
        code: 'llm_unavailable',
        message: expect.stringContaining('another model'),
      });
    }
    double.answers.props = props as Answer;
    await service.ready();
    await expectUsable();
  });

  test('is told no text, and what it says of one that it was told is not believed', async () => {
    const how = { parseSpecial: false };
    const { tokenize } = double.answers;
    // One text is under way when another request shows that something has happened.
    let answer = () => {};
    const isAsked = new Promise<void>((resolve) => {
      double.answers.tokenize = (request, response) => {
        if (request.body.content !== 'first') return (tokenize as Answer)(request, response);
        answer = () => json({ tokens: [7] })(request, response);
        resolve();
      };
    });
    const first = service.tokenize('first', how);
    await isAsked;
    double.answers.completion = (_, response) => response.destroy();
    await expectFailure('llm_unavailable', generate());
    double.answers.props = otherTemplate;
    answer();
    expect((await failure(first)).message).toContain('another model');
    const texts: unknown[] = [];
    double.answers.tokenize = (request, response) => {
      texts.push(request.body.content);
      (tokenize as Answer)(request, response);
    };
    expect((await failure(service.tokenize('second', how))).message).toContain('another model');
    expect(texts).not.toContain('second');
  });

  test('costs no request as long as nothing fails', async () => {
    const paths: string[] = [];
    for (const [path, answer] of Object.entries(double.answers)) {
      double.answers[path] = (request, response) => {
        paths.push(path);
        answer(request, response);
      };
    }
    await environment.advance(3_600_000);
    await service.tokenize('a', { parseSpecial: false });
    await generate();
    expect(paths).toEqual(['tokenize', 'completion']);
  });

  test('unseen is found out by its reply, before that counts', async () => {
    for (const stream of [true, false]) {
      const reply = final(PROMPT.length, 1, {
        content: stream ? '' : 'o',
        tokens: stream ? [] : [111],
        model: 'other',
      });
      double.answers.completion = stream ? events([chunk('o', [111], 1), reply]) : json(reply);
      expect((await failure(generate({ stream }))).message).toContain('another model');
    }
  });
});

describe('what the server adds', () => {
  test('passes through, without what is said in our own words', async () => {
    const fields = {
      generation_settings: { seed: 7 },
      prompt: 'hello',
      completion_probabilities: [1],
      draft_n: 3,
    };
    double.answers.completion = json(final(PROMPT.length, 1, { content: 'o', tokens: [111], ...fields }));
    const [, end] = await generate({ stream: false });
    if (end?.kind !== 'end') throw new Error('no end');
    expect(end.settings).toEqual({ seed: 7 });
    expect(end.fields).toEqual({ completion_probabilities: [1], draft_n: 3 });
  });

  test('in progress events shows only to who asked, and their id is none', async () => {
    const progress = chunk('', [0], 0, { prompt_progress: { total: 5, cache: 2, processed: 4, time_ms: 1 } });
    double.answers.completion = events([progress, chunk('o', [111], 1, { extra: 1 }), final(PROMPT.length, 1)]);
    const plain = await generate();
    expect(plain).toMatchObject([
      { kind: 'part', ids: [111], fields: { extra: 1 } },
      { kind: 'end', ids: [111], exact: true },
    ]);
    const [told] = await generate({ tell: { progress: true, usage: false } });
    expect(told).toEqual({ kind: 'progress', promptTokens: 5, cachedTokens: 2, processedTokens: 4, elapsedMs: 1 });
  });
});

/** Lets the idle time pass, again for whatever still arrives, until the work has ended. */
async function waitInVain(work: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  work.then(over, over);
  while (!isOver) {
    await environment.advance(IDLE_MS);
    await new Promise(setImmediate);
  }
}

describe('slots that are to be erased', () => {
  const erase = (slot: number) => `slots/${slot}?action=erase`;
  const erased = json({ id_slot: 0, n_erased: 3 });
  const forget = async () => service.warming?.forgetAll('ada');
  const said = () => environment.logLines.filter(({ event }) => event === 'llama_server_keeps_slots');

  test('are known to be empty when each has been, and are asked for again after a failure', async () => {
    double.answers[erase(0)] = erased;
    double.answers[erase(1)] = json({ error: { code: 503, message: 'Loading model' } }, 503);
    expect(await failure(forget())).toMatchObject({ code: 'llm_unavailable' });
    double.answers[erase(1)] = erased;
    await forget();
    expect(said()).toEqual([]);
  });

  const unsupported = {
    error: { code: 501, message: 'This server does not support slots action.', type: 'not_supported_error' },
  };
  test.each<[string, Answer | undefined]>([
    ['of a server that was not started for it', json(unsupported, 501)],
    ['behind something that lets nothing through', undefined],
    ['of something that answers otherwise', json({ ok: true })],
  ])('%s are left as they are, and the operator is told once', async (_, answer) => {
    for (const slot of [0, 1]) if (answer !== undefined) double.answers[erase(slot)] = answer;
    await forget();
    await forget();
    expect(said()).toHaveLength(1);
    expect(await generate()).not.toEqual([]);
  });
});
