// What the conformance suite cannot ask, of a stock llama-server with the demo model: ids that a stream hides (the model
// is made to write characters of several ids, half ones and nonsense bytes), sessions that share a system message in few
// slots, what is left in them of erased users, servers started with other flags, crashes and restarts under the node, and the same identity as embedded.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { appendTokens, type TokenId, type TokenSequence } from '../../src/domain/token-sequence.ts';
import { startEmbedded } from '../../src/llm-service/embedded.ts';
import { connectLlamaServer, type LlamaServerOptions } from '../../src/llm-service/llama-server.ts';
import type { GenerationEnd, GenerationRequest, LlmService } from '../../src/llm-service/llm-service.ts';
import { Chance } from '../../tools/chance.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { startLlamaServer } from '../../tools/real-servers/llama-server.ts';
import type { RunningServer } from '../../tools/real-servers/running-server.ts';
import { virtualEnvironment } from '../../tools/virtual-environment.ts';

const modelPath = fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url));
const CONTEXT_TOKENS = 2_048;

interface Started {
  readonly server: RunningServer;
  readonly service: LlmService;
  readonly environment: ReturnType<typeof virtualEnvironment>;
}

async function start(
  extraArgs: readonly string[] = [],
  options: Partial<LlamaServerOptions> & { slots?: number; port?: number } = {},
): Promise<Started> {
  const { slots = 2, port, ...rest } = options;
  const base = { modelPath, contextTokens: CONTEXT_TOKENS, slots, extraArgs };
  const server = await startLlamaServer(port === undefined ? base : { ...base, port });
  const environment = virtualEnvironment();
  const service = await connect(server.url, rest, environment);
  return { server, service, environment };
}

const connect = (url: string, options: Partial<LlamaServerOptions> = {}, environment = virtualEnvironment()) =>
  connectLlamaServer({ url, connectTimeoutMs: 5_000, idleTimeoutMs: 60_000, ...options }, environment);

async function startForTest(...args: Parameters<typeof start>): Promise<Started> {
  const started = await start(...args);
  onTestFinished(async () => {
    await started.service.close();
    await started.server.stop();
  });
  return started;
}

async function generate(
  service: LlmService,
  prompt: TokenSequence,
  fields: Partial<GenerationRequest> = {},
): Promise<GenerationEnd & { shown: string }> {
  const request = { prompt, maxTokens: 64, stop: [], sampling: { temperature: 0 }, affinity: undefined, stream: true };
  let shown = '';
  for await (const event of service.generate({ ...request, ...fields }, new AbortController().signal)) {
    if (event.kind === 'end') return { ...event, shown };
    if (event.kind === 'part') shown += event.text;
  }
  throw new Error('no end');
}

const control = (service: LlmService, text: string): Promise<TokenId[]> =>
  service.tokenize(text, { parseSpecial: true });

const ask = (service: LlmService, text: string, { ended = true, first = false } = {}): Promise<TokenId[]> =>
  control(
    service,
    `${first ? '' : ended ? '\n' : '<|im_end|>\n'}<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`,
  );

function concat(...sequences: TokenSequence[]): TokenId[] {
  const all: TokenId[] = [];
  for (const ids of sequences) appendTokens(all, ids);
  return all;
}

const grammarOf = (text: string) => ({ temperature: 0, grammar: `root ::= ${JSON.stringify(text)}` });

let shared: Started;
beforeAll(async () => {
  shared = await start();
});
afterAll(async () => {
  await shared?.service.close();
  await shared?.server.stop();
});

describe('a streamed reply', () => {
  const texts = ['a🤖漢字b é', '🤖', '漢字かな交じり文', 'naïve Größe — “quotes” 👩‍👩‍👧', 'e\u0301 русский العربية'];

  test('of characters with several ids is exact, and the next turn evaluates only what is new, plus one', async () => {
    const { service } = shared;
    for (const stream of [true, false]) {
      const affinity = `characters-${stream}`;
      let prompt = await ask(service, 'Hello', { first: true });
      let known = 0;
      for (const text of texts) {
        const end = await generate(service, prompt, { affinity, stream, sampling: grammarOf(text) });
        expect(end).toMatchObject({ text, shown: text, exact: true, stop: { kind: 'end' } });
        expect(await service.detokenize(end.ids)).toBe(text);
        expect(end.ids).toHaveLength(end.usage.predictedTokens);
        if (known > 0) expect(end.usage.evaluatedTokens).toBeLessThanOrEqual(prompt.length - known + 1);
        prompt = concat(prompt, end.ids);
        known = prompt.length;
        prompt = concat(prompt, await ask(service, 'More'));
      }
    }
  });

  test('has the ids, the text and the end of the same reply in one piece, whatever it stops at', async () => {
    const { service } = shared;
    const prompt = await ask(service, 'Hello', { first: true });
    const affinity = 'same';
    let compared = 0;
    /** Whole replies whose ids the stream did not tell and the tokenizer would choose otherwise. */
    const oddlySplit = new Set<string>();
    for (const text of texts) {
      const sampling = grammarOf(text);
      const whole = await generate(service, prompt, { affinity, sampling, stream: false });
      const stops = [[], ['漢'], ['字b'], ['a🤖漢X'], [text], ['🤖', ' é'], ['ï'], ['nothing of it']];
      for (const stop of stops) {
        for (const maxTokens of [64, whole.ids.length - 1, Math.ceil(whole.ids.length / 2), 1]) {
          const fields = { affinity, sampling, stop, maxTokens };
          const inOnePiece = await generate(service, prompt, { ...fields, stream: false });
          const streamed = await generate(service, prompt, { ...fields, stream: true });
          expect(streamed.stop).toEqual(inOnePiece.stop);
          expect(streamed.shown).toBe(streamed.text);
          if (streamed.exact) {
            expect(streamed.ids).toEqual(inOnePiece.ids);
            expect(streamed.text).toBe(inOnePiece.text);
            compared++;
          } else {
            if (streamed.stop.kind === 'end') oddlySplit.add(text);
            expect(inOnePiece.text.startsWith(streamed.text)).toBe(true);
            expect(await service.detokenize(streamed.ids)).toContain(streamed.text);
          }
        }
      }
    }
    expect(compared).toBeGreaterThan(100);
    for (const text of oddlySplit) {
      const written = await generate(service, prompt, { affinity, sampling: grammarOf(text), stream: false });
      expect(await service.tokenize(text, { parseSpecial: false })).not.toEqual(written.ids.slice(0, -1));
    }
  });

  test('of nonsense bytes is never called exact when it is not', async () => {
    const { service } = shared;
    const prompt = await ask(service, 'Hello', { first: true });
    const [end] = await control(service, '<|im_end|>');
    const bytes = await service.tokenize('漢é🤖', { parseSpecial: false });
    const affinity = 'nonsense';
    await generate(service, prompt, { affinity });
    const seen = { exact: 0, inexact: 0 };
    for (let seed = 1; seed <= 60; seed++) {
      const bias = [...bytes, 97, end].map((id, i) => [id, 400 - 5 * ((i * seed) % 7)]);
      const sampling = { temperature: 30, seed, samplers: ['temperature'], logit_bias: bias };
      const whole = await generate(service, prompt, { affinity, sampling, maxTokens: 12, stream: false });
      const streamed = await generate(service, prompt, { affinity, sampling, maxTokens: 12 });
      expect(streamed.stop).toEqual(whole.stop);
      if (streamed.exact) expect(streamed.ids).toEqual(whole.ids);
      else expect(streamed.ids.at(-1) === end).toBe(whole.ids.at(-1) === end);
      seen[streamed.exact ? 'exact' : 'inexact']++;
      // Exact or not, it goes on from what it says.
      const next = concat(prompt, streamed.ids, await ask(service, 'More', { ended: streamed.stop.kind === 'end' }));
      const after = await generate(service, next, { affinity, maxTokens: 2 });
      expect(after.usage.cachedTokens).toBeGreaterThanOrEqual(prompt.length);
    }
    expect(seen.exact).toBeGreaterThan(0);
    expect(seen.inexact).toBeGreaterThan(0);
  });

  test('of a server that guesses ahead is exact', async () => {
    const { server, service } = await startForTest(['--spec-type', 'ngram-simple']);
    const prompt = await service.tokenize('漢字 and 🤖, '.repeat(30), { parseSpecial: false });
    const text = '漢字 and 🤖, '.repeat(6);
    const body = JSON.stringify({ prompt, n_predict: 200, ...grammarOf(text) });
    const asked = await fetch(`${server.url}/completion`, { method: 'POST', body });
    expect(await asked.json()).toMatchObject({ timings: { draft_n_accepted: expect.toSatisfy((n) => n > 0) } });
    for (const stream of [true, false]) {
      const end = await generate(service, prompt, { sampling: grammarOf(text), maxTokens: 200, stream });
      expect(end).toMatchObject({ text, exact: true, stop: { kind: 'end' } });
      expect(await service.detokenize(end.ids)).toBe(text);
    }
  });
});

describe('sessions that share a system message', () => {
  /** Runs turns of several sessions in turn; gives back how many ids were evaluated beyond what is new, plus one. */
  async function excess(
    { service }: Started,
    { sessions, turns }: { sessions: number; turns: number },
  ): Promise<number> {
    const system = await control(service, `<|im_start|>system\n${'Be brief and kind. '.repeat(30)}<|im_end|>\n`);
    const prompts = new Map(Array.from({ length: sessions }, (_, i) => [`session-${i}`, system]));
    const known = new Map<string, number>();
    let evaluatedAgain = 0;
    for (let turn = 0; turn < turns; turn++) {
      for (const [affinity, before] of prompts) {
        const message = await ask(service, `Turn ${turn}: my name is ${affinity}.`, { first: turn === 0 });
        const prompt = concat(before, message);
        const end = await generate(service, prompt, { affinity, maxTokens: 24, stream: turn % 2 === 0 });
        const fresh = prompt.length - (known.get(affinity) ?? 0) + 1;
        if (turn > 0) evaluatedAgain += Math.max(0, end.usage.evaluatedTokens - fresh);
        const ending = end.stop.kind === 'end' ? [] : await control(service, '<|im_end|>');
        prompts.set(affinity, concat(prompt, end.ids, ending));
        known.set(affinity, prompt.length + end.ids.length);
      }
    }
    return evaluatedAgain;
  }

  test('evaluate nothing twice while there is a slot for each', async () => {
    expect(await excess(await startForTest(['--cache-ram', '0']), { sessions: 2, turns: 5 })).toBe(0);
    expect(await excess(await startForTest(), { sessions: 2, turns: 5 })).toBe(0);
  });

  test('are served when there are fewer slots', async () => {
    const started = await startForTest();
    await excess(started, { sessions: 5, turns: 3 });
    expect(started.environment.logLines).toEqual([]);
  });

  test('are left to a server that clears idle slots, and the operator is told', async () => {
    const automatic = await startForTest(['--kv-unified']);
    const evaluatedAgain = await excess(automatic, { sessions: 2, turns: 10 });
    expect(automatic.environment.logLines.map(({ event }) => event)).toEqual(['llama_server_clears_idle_slots']);
    // Pinned to slots that are always found empty, each turn would evaluate its whole context.
    expect(evaluatedAgain).toBeLessThan(10 * 2 * 200);
  });
});

describe('what an erased user said', () => {
  const [ADA, BOB] = ['k\nada\ns', 'k\nbob\ns'];
  const PART = '\nada\n';
  /** A server that erases slots, and keeps nothing beside them. */
  const erasing = () => {
    const { path, remove } = temporaryFolder();
    onTestFinished(remove);
    return startForTest(['--slot-save-path', path, '--cache-ram', '0']);
  };
  /** What each slot holds, and whether it works. */
  const slotsOf = async ({ url }: RunningServer) =>
    (await (await fetch(`${url}/slots`)).json()) as { n_prompt_tokens?: number; is_processing: boolean }[];
  const heldIn = async (server: RunningServer): Promise<number[]> =>
    (await slotsOf(server)).map(({ n_prompt_tokens }) => n_prompt_tokens ?? 0);

  test('is in no slot once that is told, and what others said stays', async () => {
    const { server, service } = await erasing();
    const prompt = await ask(service, 'I like red tea.', { first: true });
    const { slot } = await generate(service, prompt, { affinity: ADA });
    await generate(service, await ask(service, 'I am Bob.', { first: true }), { affinity: BOB });
    const before = await heldIn(server);
    expect(before.every((ids) => ids > 0)).toBe(true);
    await service.warming?.forgetAll(PART);
    expect(await heldIn(server)).toEqual(before.with(slot as number, 0));
    expect((await generate(service, prompt, { affinity: 'k\ncyd\ns' })).usage.cachedTokens).toBe(0);
  });

  test('through a node that was started again since is in no slot either', async () => {
    const { server, service } = await erasing();
    await generate(service, await ask(service, 'I like red tea.', { first: true }), { affinity: ADA });
    const again = await connect(server.url);
    onTestFinished(() => again.close());
    await again.warming?.forgetAll(PART);
    expect(await heldIn(server)).toEqual([0, 0]);
  });

  test('is waited for while a reply to it is under way', async () => {
    const { server, service } = await erasing();
    const prompt = await ask(service, 'I like red tea.', { first: true });
    const sampling = { temperature: 0, ignore_eos: true };
    const reply = generate(service, prompt, { affinity: ADA, sampling, maxTokens: 400 });
    await expect
      .poll(async () => (await slotsOf(server)).some((slot) => slot.is_processing), { interval: 2 })
      .toBe(true);
    await service.warming?.forgetAll(PART);
    expect(await heldIn(server)).toEqual([0, 0]);
    expect((await reply).ids).toHaveLength(400);
  });

  test('stays with a server that erases nothing, and the operator is told', async () => {
    const { server, service, environment } = await startForTest();
    await generate(service, await ask(service, 'I like red tea.', { first: true }), { affinity: ADA });
    const before = await heldIn(server);
    await service.warming?.forgetAll(PART);
    expect(await heldIn(server)).toEqual(before);
    expect(environment.logLines.map(({ event }) => event)).toEqual(['llama_server_keeps_slots']);
  });
});

describe('a server with other flags', () => {
  test('and a key is reached with it and not without', async () => {
    const { server, service } = await startForTest(['--api-key', 'secret-key'], { apiKey: 'secret-key' });
    await service.ready();
    await generate(service, await ask(service, 'Hello', { first: true }));
    for (const apiKey of [undefined, 'another']) {
      await expect(connect(server.url, { apiKey })).rejects.toMatchObject({
        code: 'llm_unavailable',
        message: expect.stringContaining('API key'),
      });
    }
  });

  test('that shifts its context never drops the beginning', async () => {
    const { service } = await startForTest(['--context-shift', '--ctx-size', '512', '--parallel', '1']);
    expect(service.description.contextTokens).toBe(512);
    const prompt = (await service.tokenize('one two three '.repeat(300), { parseSpecial: false })).slice(0, 500);
    for (const stream of [true, false]) {
      const end = await generate(service, prompt, { stream, maxTokens: 100, sampling: { ignore_eos: true } });
      expect(end.usage.predictedTokens).toBe(12);
      expect(end.stop).toEqual({ kind: 'limit' });
    }
  });

  test('is the model it says, under the name given or its own', async () => {
    const { server, service } = await startForTest(['--alias', 'folder/robot.gguf']);
    expect(service.description.identity.name).toBe('robot');
    expect((await connect(server.url, { modelName: 'mine' })).description.identity.name).toBe('mine');
    expect(shared.service.description.identity.name).toBe('demo');
    expect(shared.service.description.contextTokens).toBe(CONTEXT_TOKENS);
    expect(shared.service.description.vocabularySize).toBe(2_048);
  });

  test('says of a model what embedded says of it', async () => {
    const embedded = await startEmbedded({ modelPath, modelName: 'demo', parallel: 1 }, virtualEnvironment());
    try {
      const { contextTokens: _, ...description } = shared.service.description;
      expect(embedded.description).toMatchObject(description);
    } finally {
      await embedded.close();
    }
  });
});

describe('a server that crashes', () => {
  test('in the middle of a reply is unavailable, and good again once it is back', async () => {
    const { server, service } = await startForTest();
    const prompt = await ask(service, 'Hello', { first: true });
    const endless = { temperature: 0, ignore_eos: true };
    const request = { prompt, maxTokens: 2_000, stop: [], sampling: endless, affinity: 'a', stream: true };
    const killed = async () => {
      for await (const _ of service.generate(request, new AbortController().signal)) server.kill('SIGKILL');
    };
    await expect(killed()).rejects.toMatchObject({ code: 'llm_unavailable' });
    await server.stop();
    await expect(service.ready()).rejects.toMatchObject({ code: 'llm_unavailable' });
    await startForTest([], { port: server.port });
    await service.ready();
    expect((await generate(service, prompt, { affinity: 'a' })).exact).toBe(true);
  });

  test('and comes back with another model is refused', async () => {
    const { server, service } = await startForTest();
    const prompt = await ask(service, 'Hello', { first: true });
    server.kill('SIGKILL');
    await server.stop();
    await expect(generate(service, prompt)).rejects.toMatchObject({ code: 'llm_unavailable' });
    await startForTest(['--chat-template', 'llama3'], { port: server.port });
    for (const work of [() => generate(service, prompt), () => service.ready()]) {
      await expect(work()).rejects.toMatchObject({
        code: 'llm_unavailable',
        message: expect.stringContaining('another model'),
      });
    }
  });

  test('and comes back unseen as another model is found out by its reply', async () => {
    const { server, service } = await startForTest();
    const prompt = await ask(service, 'Hello', { first: true });
    await server.stop();
    await startForTest(['--alias', 'another'], { port: server.port });
    await expect(generate(service, prompt)).rejects.toMatchObject({
      code: 'llm_unavailable',
      message: expect.stringContaining('another model'),
    });
  });
});

describe('texts', () => {
  test('of any ids are those that the server tells, and are known when it is gone', async () => {
    const { server, service } = await startForTest();
    const { vocabularySize, endOfGeneration } = service.description;
    const controls = new Set([...endOfGeneration, ...(await control(service, '<|im_start|><|im_end|><|endoftext|>'))]);
    const every = Array.from({ length: vocabularySize }, (_, id) => id as TokenId).filter((id) => !controls.has(id));
    const chance = new Chance(11);
    const mixed = Array.from({ length: 50 }, () =>
      Array.from({ length: 40 }, () => every[chance.below(every.length)] as TokenId),
    );
    const told: string[] = [];
    for (const ids of [every, ...mixed]) told.push(await service.detokenize(ids, { special: true }));
    await server.stop();
    const known: string[] = [];
    for (const ids of [every, ...mixed]) known.push(await service.detokenize(ids));
    expect(known).toEqual(told);
    expect(await service.detokenize([...controls])).toBe('');
  });

  test('of lone surrogates and NUL are tokenized, and control tokens have no text', async () => {
    const { service } = shared;
    const ids = await service.tokenize('a\ud800\u0000b', { parseSpecial: false });
    expect(await service.detokenize(ids)).toBe('a\ufffd\u0000b');
    const text = '<|endoftext|><|im_start|>user\n<b>[INST] </s><|im_end|>';
    expect(await service.detokenize(await control(service, text))).toBe('user\n<b>[INST] </s>');
    expect(await service.detokenize(await service.tokenize(text, { parseSpecial: false }))).toBe(text);
  });
});
