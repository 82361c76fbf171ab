// What every LlmService promises. Tries to make an adapter mix replies, lose or invent ids, show hidden text, keep a
// slot after an abort, or answer nonsense input with something other than a DiscedgeError. Works on any service that
// speaks ChatML; `kind` says whether a model answers (then it must recall what it was told) or a script.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DiscedgeError, ErrorCode } from '../../src/domain/errors.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../../src/domain/token-sequence.ts';
import type {
  GenerationEnd,
  GenerationPart,
  GenerationProgress,
  GenerationRequest,
  LlmService,
} from '../../src/llm-service/llm-service.ts';

export interface RunningLlmService {
  readonly service: LlmService;
  /** Closes the service and whatever was started for it. */
  stop(): Promise<void>;
}

export interface LlmServiceSuiteOptions {
  /** `model`: the demo model, recalls names. `script`: the reply is a function of the prompt alone. */
  readonly kind: 'model' | 'script';
  /** Whether streamed replies are exact too. When false, `end.exact` must say so wherever ids differ. */
  readonly streamExact: boolean;
  /** Ids that the KV cache keeps or loses together: as many fewer may be found of a prefix. Default 1. */
  readonly cacheBlockTokens?: number;
  /** Test name → the reason why this adapter does not run it. */
  readonly skip?: Readonly<Record<string, string>>;
}

export function llmServiceSuite(
  name: string,
  start: () => Promise<RunningLlmService>,
  options: LlmServiceSuiteOptions,
): void {
  const { cacheBlockTokens: block = 1 } = options;
  const check = (title: string, run: () => Promise<void>): void => {
    const reason = options.skip?.[title];
    if (reason === undefined) test(title, run);
    else test(title, (context) => context.skip(reason));
  };

  describe(`${name} as an LLM Service`, () => {
    let running: RunningLlmService;
    let service: LlmService;

    beforeAll(async () => {
      running = await start();
      service = running.service;
    }, 120_000);
    afterAll(() => running?.stop());

    describe('description', () => {
      check('is complete and consistent with tokenize', async () => {
        const { description } = service;
        expect(description.identity.name).not.toBe('');
        expect(description.identity.tokenizerDigest).toMatch(/^[0-9a-f]{32}$/);
        expect(description.identity.templateDigest).toMatch(/^[0-9a-f]{32}$/);
        expect(description.contextTokens).toBeGreaterThanOrEqual(256);
        expect(description.chatTemplate).toContain('im_start');
        const [end] = await service.tokenize('<|im_end|>', { parseSpecial: true });
        expect(description.endOfGeneration).toContain(end);
        for (const id of description.endOfGeneration) expectId(id, description.vocabularySize);
        if (description.prependBos !== undefined) expectId(description.prependBos, description.vocabularySize);
      });

      check('is the same after another start', async () => {
        const again = await start();
        try {
          expect(again.service.description).toEqual(service.description);
        } finally {
          await again.stop();
        }
      });

      check('ready resolves while the service runs', () => service.ready());
    });

    describe('tokenize and detokenize', () => {
      check('round-trip every text', async () => {
        for (const text of ROUND_TRIP_TEXTS) {
          const ids = await service.tokenize(text, { parseSpecial: false });
          for (const id of ids) expectId(id, service.description.vocabularySize);
          expect(await service.detokenize(ids)).toBe(text);
        }
      });

      check('give nothing for nothing', async () => {
        expect(await service.tokenize('', { parseSpecial: false })).toEqual([]);
        expect(await service.tokenize('', { parseSpecial: true })).toEqual([]);
        expect(await service.detokenize([])).toBe('');
      });

      check('control-token text becomes ordinary ids unless special tokens are parsed', async () => {
        const text = '<|im_end|>\n<|im_start|>system';
        const control = await service.tokenize(text, { parseSpecial: true });
        const ordinary = await service.tokenize(text, { parseSpecial: false });
        const [start] = await service.tokenize('<|im_start|>', { parseSpecial: true });
        const [end] = await service.tokenize('<|im_end|>', { parseSpecial: true });
        expect(control).toContain(start);
        expect(control).toContain(end);
        expect(ordinary).not.toContain(start);
        expect(ordinary).not.toContain(end);
        expect(await service.detokenize(ordinary)).toBe(text);
      });

      check('control tokens have no text', async () => {
        const ids = await service.tokenize('<|im_start|>user\nhi<|im_end|>', { parseSpecial: true });
        expect(await service.detokenize(ids)).toBe('user\nhi');
      });

      check('control tokens are spelled out where that is asked for', async () => {
        const text = '<|im_start|>user\nhi<|im_end|>';
        const ids = await service.tokenize(text, { parseSpecial: true });
        expect(await service.detokenize(ids, { special: true })).toBe(text);
      });

      check('pieces are the bytes of a text, one id after the other', async () => {
        for (const text of [...ROUND_TRIP_TEXTS, 'x<|im_start|>user\nhi 🦑<|im_end|>']) {
          const ids = await service.tokenize(text, { parseSpecial: true });
          const pieces = await service.pieces(ids);
          expect(pieces).toHaveLength(ids.length);
          expect(Buffer.concat(pieces).toString('utf8')).toBe(text);
        }
        expect(await service.pieces([])).toEqual([]);
      });

      check('half a character is U+FFFD', async () => {
        const ids = await service.tokenize('🦑', { parseSpecial: false });
        expect(ids.length).toBeGreaterThan(1);
        expect(await service.detokenize(ids.slice(0, -1))).toMatch(/^\ufffd+$/);
      });

      check('an id outside the vocabulary is refused', async () => {
        for (const id of badIds(service)) {
          await expectError('invalid_request', service.detokenize([id]));
          await expectError('invalid_request', service.detokenize([id], { special: true }));
          await expectError('invalid_request', service.pieces([id]));
        }
      });
    });

    describe('generate', () => {
      check('of no ids fills the KV cache and says nothing', async () => {
        for (const stream of [true, false]) {
          const prompt = await longPrompt(service, 0.25, stream ? 1 : 2);
          const affinity = `filled-${stream}`;
          const { parts, end } = await generate(service, prompt, { maxTokens: 0, affinity, stream });
          expect(parts).toEqual([]);
          expect(end).toMatchObject({ ids: [], text: '', exact: true, stop: { kind: 'limit' } });
          expect(end.usage).toMatchObject({ predictedTokens: 0 });
          expect(end.usage.cachedTokens + end.usage.evaluatedTokens).toBe(prompt.length);
          const next = await generate(service, prompt, { maxTokens: 4, affinity, stream });
          expect(next.end.usage.evaluatedTokens).toBeLessThanOrEqual(block);
          expect(next.end.usage.cachedTokens + next.end.usage.evaluatedTokens).toBe(prompt.length);
        }
        await expectError('invalid_request', generate(service, await ask(service), { maxTokens: -1 }));
      });

      check('tells on the way what is asked for, and nothing else', async () => {
        const prompt = await longPrompt(service, 0.5, 3);
        const silent = await generate(service, await ask(service), {});
        expect(silent.progress).toEqual([]);
        for (const part of silent.parts) expect(part.usage).toBeUndefined();

        const { progress, parts, end } = await generate(service, prompt, { tell: { progress: true, usage: true } });
        const processed = progress.map(({ processedTokens }) => processedTokens);
        expect(processed.length).toBeGreaterThan(0);
        expect(processed).toEqual([...processed].sort((a, b) => a - b));
        expect(processed.at(-1)).toBe(prompt.length);
        const { cachedTokens } = end.usage;
        for (const event of progress) expect(event).toMatchObject({ promptTokens: prompt.length, cachedTokens });
        let predicted = 0;
        for (const { usage } of parts) {
          expect(usage).toMatchObject({ cachedTokens, evaluatedTokens: prompt.length - cachedTokens });
          expect(usage?.predictedTokens).toBeGreaterThanOrEqual(predicted);
          predicted = usage?.predictedTokens ?? 0;
        }
        expect(predicted).toBe(end.usage.predictedTokens);
        expect(end.slot).toBeLessThan(service.slots().length);
      });

      check('shows a slot at work for as long as it lasts', async () => {
        const busy = () => service.slots().filter((slot) => slot.busy).length;
        expect(service.slots().length).toBeGreaterThan(0);
        if (service.parallel !== undefined) expect(service.slots()).toHaveLength(service.parallel);
        const prompt = await service.tokenize('Hello', { parseSpecial: false });
        const request = { prompt, maxTokens: 64, stop: [], sampling: {}, affinity: undefined, stream: true };
        for await (const event of service.generate(request, never())) {
          if (event.kind === 'part') expect(busy()).toBe(1);
        }
        expect(busy()).toBe(0);
      });

      check('ends with the whole text and every id', async () => {
        for (const stream of [true, false]) {
          const { parts, end } = await generate(service, await ask(service), { stream });
          expect(parts.map((part) => part.text).join('')).toBe(end.text);
          expect(isSubsequence(flat(parts), end.ids)).toBe(true);
          expect(end.text).not.toBe('');
          expect(end.stop).toEqual({ kind: 'end' });
          expect(end.exact || (stream && !options.streamExact)).toBe(true);
          expect(service.description.endOfGeneration).toContain(end.ids.at(-1));
          expect(await service.detokenize(end.ids)).toBe(end.text);
          expect(end.usage.predictedTokens).toBe(end.ids.length);
          expect(end.usage.promptMs).toBeGreaterThanOrEqual(0);
          expect(end.usage.predictedMs).toBeGreaterThanOrEqual(0);
        }
      });

      check('a prompt that continues prompt and reply evaluates only what is new, plus one', async () => {
        for (const stream of [true, false]) {
          const affinity = `continue-${stream}`;
          let prompt = await ask(service, 'My name is Zorvik. I like tea.');
          let known = 0;
          for (const message of ['What do I like?', 'Thanks.', 'What is my name?', 'Bye.']) {
            const { end } = await generate(service, prompt, { stream, affinity });
            expect(end.usage.cachedTokens + end.usage.evaluatedTokens).toBe(prompt.length);
            if (known > 0) expect(end.usage.evaluatedTokens).toBeLessThanOrEqual(prompt.length - known + block);
            prompt = concat(prompt, end.ids);
            known = prompt.length;
            prompt = concat(prompt, await turn(service, message, end));
          }
        }
      });

      check('a prompt already answered evaluates one id', async () => {
        const prompt = await ask(service, 'Tell me about robots.');
        await generate(service, prompt, { affinity: 'again' });
        const { end } = await generate(service, prompt, { affinity: 'again' });
        expect(end.usage.evaluatedTokens).toBeGreaterThan(0);
        expect(end.usage.evaluatedTokens).toBeLessThanOrEqual(block);
        expect(end.usage.cachedTokens + end.usage.evaluatedTokens).toBe(prompt.length);
      });

      check('a prompt that goes back and on differently is answered from its own ids', async () => {
        const first = await ask(service, 'My name is Zorvik.');
        const { end } = await generate(service, first, { affinity: 'back' });
        const other = await ask(service, 'My name is Belinda.');
        const { end: otherEnd } = await generate(service, other, { affinity: 'back' });
        expect(otherEnd.usage.cachedTokens).toBeLessThan(other.length);
        const prompt = concat(other, otherEnd.ids, await turn(service, 'What is my name?', otherEnd));
        const { end: last } = await generate(service, prompt, { affinity: 'back' });
        if (options.kind === 'model') expect(last.text).toContain('Belinda');
        expect(last.text).not.toContain('Zorvik');
        expect(end.text).not.toBe('');
      });

      check('is deterministic at temperature 0, streamed or not', async () => {
        const prompt = await ask(service);
        await generate(service, prompt, { affinity: 'same' });
        const replies = [];
        for (const stream of [true, false, true, false]) {
          replies.push((await generate(service, prompt, { affinity: 'same', stream })).end);
        }
        const [reply] = replies;
        for (const other of replies) {
          expect(other.text).toBe(reply?.text);
          if (other.exact && reply?.exact === true) expect(other.ids).toEqual(reply.ids);
        }
      });

      check('stops at the token limit', async () => {
        const { end: whole } = await generate(service, await ask(service), { stream: false });
        for (const stream of [true, false]) {
          for (const maxTokens of [1, 2, whole.ids.length - 1]) {
            const { end } = await generate(service, await ask(service), { stream, maxTokens });
            expect(end.ids).toHaveLength(maxTokens);
            expect(end.stop).toEqual({ kind: 'limit' });
          }
        }
      });

      check('hides the stop word', async () => {
        const prompt = await ask(service);
        const affinity = 'stop';
        await generate(service, prompt, { affinity });
        const { end: whole } = await generate(service, prompt, { affinity });
        const middle = Math.floor(whole.text.length / 2);
        const word = whole.text.slice(middle, middle + 4);
        const before = whole.text.slice(0, whole.text.indexOf(word));
        for (const stream of [true, false]) {
          const { parts, end } = await generate(service, prompt, { affinity, stream, stop: ['never said', word] });
          expect(end.stop).toEqual({ kind: 'word', word });
          expect(end.text).toBe(before);
          expect(parts.map((part) => part.text).join('')).toBe(before);
          expect((await service.detokenize(end.ids)).startsWith(before + word)).toBe(true);
        }
      });

      check('the next prompt reuses what a stop word or a limit ended', async () => {
        for (const ending of [{ stop: ['e'] }, { maxTokens: 2 }]) {
          const affinity = `ended-${JSON.stringify(ending)}`;
          const prompt = await ask(service, 'My name is Zorvik.');
          const { end } = await generate(service, prompt, { affinity, ...ending });
          const more = await turn(service, 'What is my name?', end);
          const next = concat(prompt, end.ids, more);
          const { end: nextEnd } = await generate(service, next, { affinity });
          expect(nextEnd.usage.evaluatedTokens).toBeLessThanOrEqual(more.length + block);
        }
      });

      check('n_probs tells of every id what the model said', async () => {
        if (options.kind === 'script') return;
        const prompt = await ask(service);
        const sampling = { temperature: 0, n_probs: 3 };
        for (const stream of [true, false]) {
          const { parts, end } = await generate(service, prompt, { stream, sampling });
          const told = (stream ? parts : [end]).flatMap(({ fields }) => probabilitiesIn(fields));
          expect(told.map(({ id }) => id)).toEqual(end.ids);
          for (const { id, logprob, top_logprobs: top } of told) {
            expect(top).toHaveLength(3);
            // At temperature 0 the most probable id is taken.
            expect(top[0]).toMatchObject({ id, logprob });
            expect(top.map((one) => one.logprob)).toEqual(top.map((one) => one.logprob).sort((a, b) => b - a));
            const together = top.reduce((sum, one) => sum + Math.exp(one.logprob), 0);
            expect(together).toBeGreaterThan(0);
            expect(together).toBeLessThan(1.001);
          }
          expect(told.map(({ token }) => token).join('')).toBe(end.text);
          expect(told.flatMap(({ bytes }) => bytes)).toEqual([...Buffer.from(end.text)]);
        }
      });

      check('post_sampling_probs tells what was left to draw from', async () => {
        if (options.kind === 'script') return;
        const prompt = await ask(service);
        const sampling = {
          temperature: 2,
          top_k: 4,
          top_p: 1,
          min_p: 0,
          seed: 7,
          n_probs: 10,
          post_sampling_probs: true,
        };
        const { end } = await generate(service, prompt, { stream: false, sampling, maxTokens: 8 });
        for (const { id, prob, top_probs: top } of probabilitiesIn(end.fields)) {
          expect(top).toHaveLength(4);
          expect(top.find((one) => one.id === id)?.prob).toBe(prob);
          expect(top.reduce((sum, one) => sum + one.prob, 0)).toBeCloseTo(1, 3);
        }
      });

      check('json_schema gives a reply of that shape', async () => {
        if (options.kind === 'script') return;
        const schema = {
          type: 'object',
          properties: {
            name: { type: 'string', maxLength: 12 },
            age: { type: 'integer', minimum: 1, maximum: 99 },
            colour: { enum: ['red', 'green'] },
            tags: { type: 'array', items: { type: 'boolean' }, maxItems: 2 },
          },
          required: ['name', 'age', 'colour', 'tags'],
        };
        for (const seed of [1, 2, 3]) {
          const sampling = { json_schema: schema, temperature: 1.5, seed };
          const { end } = await generate(service, await ask(service), { sampling, maxTokens: 200 });
          expect(end.stop).toEqual({ kind: 'end' });
          const reply = JSON.parse(end.text);
          expect(Object.keys(reply)).toEqual(['name', 'age', 'colour', 'tags']);
          expect(Number.isInteger(reply.age) && reply.age >= 1 && reply.age <= 99).toBe(true);
          expect(['red', 'green']).toContain(reply.colour);
        }
      });

      check('a json_schema that no grammar can be made of is refused', async () => {
        if (options.kind === 'script') return;
        for (const json_schema of [{ type: 'strang' }, { $ref: '#/nowhere' }, { enum: [] }, 'x']) {
          await expectError('invalid_request', generate(service, await ask(service), { sampling: { json_schema } }));
        }
      });

      check('many at once do not mix', async () => {
        const prompts = await Promise.all(NAMES.map((who) => ask(service, `My name is ${who}.`, 'What is my name?')));
        const texts = async (at: 'once' | 'turns') => {
          const one = async (prompt: TokenSequence, i: number) =>
            (await generate(service, prompt, { affinity: `many-${i}`, stream: i % 2 === 0 })).end.text;
          if (at === 'once') return Promise.all(prompts.map(one));
          const replies: string[] = [];
          for (const [i, prompt] of prompts.entries()) replies.push(await one(prompt, i));
          return replies;
        };
        const replies = await texts('once');
        if (options.kind === 'script') expect(replies).toEqual(await texts('turns'));
        else {
          for (const [i, text] of replies.entries()) {
            expect(NAMES.filter((who) => text.includes(who))).toEqual([NAMES[i]]);
          }
        }
      });

      check('a long reply does not hold up a short one', async () => {
        if (options.kind === 'script') return;
        const order: string[] = [];
        const enough = new AbortController();
        const long = generate(service, await ask(service), { ...LONG_REPLY, affinity: 'long' }, enough.signal);
        const longEnd = long.then(
          () => order.push('long'),
          () => order.push('long, aborted'),
        );
        for (const affinity of ['short', 'short', 'shorter']) {
          await generate(service, await ask(service, 'My name is Zorvik.', affinity), { affinity });
          order.push(affinity);
        }
        enough.abort();
        await longEnd;
        expect(order).toEqual(['short', 'short', 'shorter', 'long, aborted']);
      });
    });

    describe('an abort', () => {
      check('before the start ends the iteration with its reason', async () => {
        const reason = new Error('too late');
        const prompt = await ask(service);
        await expect(generate(service, prompt, {}, AbortSignal.abort(reason))).rejects.toBe(reason);
        await expectAllSlotsFree(service);
      });

      check('during prefill ends the iteration with its reason and frees the slot', async () => {
        for (const turnsOfTheLoop of [0, 1, 3, 10]) {
          const reason = new Error(`after ${turnsOfTheLoop} turns of the loop`);
          const controller = new AbortController();
          const prompt = await longPrompt(service, 0.9, turnsOfTheLoop);
          const generation = generate(service, prompt, LONG_REPLY, controller.signal);
          generation.catch(() => undefined);
          for (let i = 0; i < turnsOfTheLoop; i++) await new Promise(setImmediate);
          controller.abort(reason);
          await expect(generation).rejects.toBe(reason);
        }
        await expectAllSlotsFree(service);
      });

      check('during decode ends the iteration with its reason and frees the slot', async () => {
        for (const affinity of ['decode', 'decode', 'decode', undefined, undefined, undefined]) {
          const reason = new Error('enough');
          const controller = new AbortController();
          const iteration = async () => {
            for await (const event of service.generate(
              request(await ask(service), { ...LONG_REPLY, affinity }),
              controller.signal,
            )) {
              if (event.kind === 'part') controller.abort(reason);
            }
          };
          await expect(iteration()).rejects.toBe(reason);
        }
        await expectAllSlotsFree(service);
      });

      check('while waiting for a slot ends the iteration with its reason', async () => {
        const busy = new AbortController();
        const prompts = await Promise.all(NAMES.map((_, i) => longPrompt(service, 0.5, i)));
        const running = prompts.map((prompt) => generate(service, prompt, LONG_REPLY, busy.signal));
        const reason = new Error('not waiting any longer');
        const waiting = new AbortController();
        const waiter = generate(service, await ask(service), {}, waiting.signal);
        for (const generation of [...running, waiter]) generation.catch(() => undefined);
        waiting.abort(reason);
        await expect(waiter).rejects.toBe(reason);
        busy.abort(reason);
        for (const generation of running) await expect(generation).rejects.toBe(reason);
        await expectAllSlotsFree(service);
      });

      check('leaves the session usable and exact', async () => {
        const affinity = 'aborted';
        const first = await ask(service, 'My name is Zorvik.');
        const { end } = await generate(service, first, { affinity });
        const prompt = concat(first, end.ids, await turn(service, 'What is my name?', end));
        const reason = new Error('changed my mind');
        const controller = new AbortController();
        const aborted = async () => {
          for await (const _ of service.generate(request(prompt, { affinity, ...LONG_REPLY }), controller.signal)) {
            controller.abort(reason);
          }
        };
        await expect(aborted()).rejects.toBe(reason);
        const { end: again } = await generate(service, prompt, { affinity });
        if (options.kind === 'model') expect(again.text).toContain('Zorvik');
        expect(again.usage.cachedTokens + again.usage.evaluatedTokens).toBe(prompt.length);
      });

      check('by breaking off the iteration frees the slot', async () => {
        for (let i = 0; i < NAMES.length; i++) {
          for await (const _ of service.generate(request(await ask(service), LONG_REPLY), never())) break;
        }
        await expectAllSlotsFree(service);
      });
    });

    describe('bad input', () => {
      check('ids outside the vocabulary are refused', async () => {
        const prompt = await ask(service);
        for (const id of badIds(service)) {
          await expectError('invalid_request', generate(service, [...prompt, id], {}));
        }
        await expectAllSlotsFree(service);
      });

      check('an empty prompt is refused', () => expectError('invalid_request', generate(service, [], {})));

      check('a prompt that does not fit the context window is refused', async () => {
        const { contextTokens } = service.description;
        const id = (await ask(service))[0] as TokenId;
        for (const length of [contextTokens, contextTokens + 1, 2 * contextTokens]) {
          await expectError('context_overflow', generate(service, new Array(length).fill(id), {}));
        }
      });

      check('a reply never runs past the context window', async () => {
        const prompt = await longPrompt(service, 1, 1);
        const { contextTokens } = service.description;
        const fitting = prompt.slice(0, contextTokens - 4);
        const { end } = await generate(service, fitting, { ...LONG_REPLY, stream: false });
        expect(fitting.length + end.ids.length).toBeLessThanOrEqual(contextTokens);
        if (end.stop.kind === 'limit')
          expect(fitting.length + end.ids.length).toBeGreaterThanOrEqual(contextTokens - 1);
      });
    });

    describe('close', () => {
      check('ends running and waiting generations; afterwards every call is refused', async () => {
        const own = await start();
        try {
          const closed = own.service;
          const prompts = await Promise.all(NAMES.map((_, i) => longPrompt(closed, 0.5, i)));
          const generations = prompts.map((prompt) => generate(closed, prompt, LONG_REPLY));
          for (const generation of generations) generation.catch(() => undefined);
          await new Promise(setImmediate);
          await Promise.all([closed.close(), closed.close()]);
          for (const generation of generations) await expectError('llm_unavailable', generation);
          await closed.close();
          await expectError('llm_unavailable', closed.tokenize('text', { parseSpecial: false }));
          await expectError('llm_unavailable', closed.detokenize([1 as TokenId]));
          await expectError('llm_unavailable', closed.ready());
          await expectError('llm_unavailable', generate(closed, prompts[0] as TokenId[], {}));
        } finally {
          await own.stop();
        }
      });
    });
  });
}

const NAMES = ['Zorvik', 'Belinda', 'Quentin', 'Marlow', 'Odette', 'Tamsin', 'Ulric', 'Yasmin'];

const ROUND_TRIP_TEXTS = [
  'Hello, world!',
  ' leading, trailing  and\ttabs\r\n\n\n ',
  'def f(x):\n    return {"a": [x ** 2]}',
  'Zażółć gęślą jaźń, Größe, русский, 漢字かな, العربية',
  '🤖🚗👩‍👩‍👧 e\u0301 \u200b\u00a0',
  'a\u0000b\u001b[0m',
  '0123456789'.repeat(50),
];

/** Long enough never to end by itself before the test does. */
interface ToldToken {
  readonly id: number;
  readonly token: string;
  readonly bytes: readonly number[];
  readonly logprob: number;
  readonly prob: number;
  readonly top_logprobs: readonly { readonly id: number; readonly logprob: number }[];
  readonly top_probs: readonly { readonly id: number; readonly prob: number }[];
}

function probabilitiesIn(fields: Readonly<Record<string, unknown>> | undefined): readonly ToldToken[] {
  return (fields?.completion_probabilities ?? []) as readonly ToldToken[];
}

const LONG_REPLY = { maxTokens: 2000, sampling: { temperature: 0, ignore_eos: true } } as const;

const never = (): AbortSignal => new AbortController().signal;

function request(prompt: TokenSequence, fields: Partial<GenerationRequest>): GenerationRequest {
  return {
    prompt,
    maxTokens: 48,
    stop: [],
    sampling: { temperature: 0 },
    affinity: undefined,
    stream: true,
    ...fields,
  };
}

async function generate(
  service: LlmService,
  prompt: TokenSequence,
  fields: Partial<GenerationRequest>,
  signal = never(),
): Promise<{ progress: GenerationProgress[]; parts: GenerationPart[]; end: GenerationEnd }> {
  const progress: GenerationProgress[] = [];
  const parts: GenerationPart[] = [];
  let end: GenerationEnd | undefined;
  for await (const event of service.generate(request(prompt, fields), signal)) {
    expect(end).toBeUndefined();
    if (event.kind === 'part') parts.push(event);
    else if (event.kind === 'end') end = event;
    else progress.push(event);
  }
  if (end === undefined) throw new Error('the iteration ended without an end event');
  return { progress, parts, end };
}

/** The ids of a conversation's user messages, each answered with "Noted." but the last, and the assistant's header. */
async function ask(service: LlmService, ...messages: string[]): Promise<TokenId[]> {
  const texts = messages.length === 0 ? ['Hello, who are you?'] : messages;
  const rendered = texts.map((text) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`);
  const ids = await service.tokenize(rendered.join('Noted.<|im_end|>\n'), { parseSpecial: true });
  const { prependBos } = service.description;
  return prependBos === undefined ? ids : [prependBos, ...ids];
}

/** What follows a reply: its end token, where it has none, and the next user message. */
async function turn(service: LlmService, message: string, reply: GenerationEnd): Promise<TokenId[]> {
  const ended = service.description.endOfGeneration.has(reply.ids.at(-1) as TokenId);
  const text = `${ended ? '' : '<|im_end|>'}\n<|im_start|>user\n${message}<|im_end|>\n<|im_start|>assistant\n`;
  return service.tokenize(text, { parseSpecial: true });
}

/** A prompt of about `share` of the context window that has no common prefix with those of other `salt`s. */
async function longPrompt(service: LlmService, share: number, salt: number): Promise<TokenId[]> {
  const length = Math.floor(service.description.contextTokens * share);
  const words = await service.tokenize(`${salt} ${'robots map rooms and '.repeat(length)}`, { parseSpecial: false });
  const question = await ask(service, 'What is my name?');
  return concat(words.slice(0, Math.max(0, length - question.length)), question);
}

/** More generations at once than any adapter under test has slots: all must finish. */
async function expectAllSlotsFree(service: LlmService): Promise<void> {
  const prompts = await Promise.all(NAMES.map((who) => ask(service, `My name is ${who}.`)));
  const replies = await Promise.all(prompts.map((prompt) => generate(service, prompt, { maxTokens: 3 })));
  expect(replies).toHaveLength(NAMES.length);
}

function badIds(service: LlmService): TokenId[] {
  return [service.description.vocabularySize, -1, 1.5, Number.NaN, 2 ** 31] as TokenId[];
}

async function expectError(code: ErrorCode, promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason as DiscedgeError,
  );
  expect(error).toMatchObject({ name: 'DiscedgeError', code });
}

function expectId(id: number, vocabularySize: number): void {
  expect(Number.isInteger(id) && id >= 0 && id < vocabularySize).toBe(true);
}

function concat(...sequences: TokenSequence[]): TokenId[] {
  const all: TokenId[] = [];
  for (const ids of sequences) appendTokens(all, ids);
  return all;
}

function flat(parts: readonly GenerationPart[]): TokenId[] {
  return concat(...parts.map((part) => part.ids));
}

function isSubsequence(part: TokenSequence, whole: TokenSequence): boolean {
  let at = 0;
  for (const id of whole) if (part[at] === id) at++;
  return at === part.length;
}
