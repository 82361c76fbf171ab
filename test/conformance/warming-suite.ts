// What warming promises, of every LLM Service that can. Tries to make it cost a generation more than it spares, lose
// count of ids, hold up who asks, or throw at what the world is like.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { appendTokens, type TokenId, type TokenSequence } from '../../src/domain/token-sequence.ts';
import type { GenerationEnd, LlmService, Warming, WarmOutcome } from '../../src/llm-service/llm-service.ts';
import type { RunningLlmService } from './llm-service-suite.ts';

export function warmingSuite(name: string, start: () => Promise<RunningLlmService>): void {
  describe(`warming of ${name}`, () => {
    let running: RunningLlmService;
    let service: LlmService;
    let warming: Warming;
    beforeAll(async () => {
      running = await start();
      service = running.service;
      warming = service.warming as Warming;
    }, 120_000);
    afterAll(() => running?.stop());

    const warm = (prompt: TokenSequence, affinity: string, signal = never()): Promise<WarmOutcome> =>
      warming.warm({ prompt, affinity, owner: affinity, chance: 1 }, signal);
    const context = (salt: string, share: number) => longText(service, share, salt);

    test('what is warm is found by the next generation, and counted as warm once', async () => {
      const prompt = await context('found', 0.15);
      const before = warming.status();
      expect(await warm(prompt, 'found')).toEqual({
        ...{ end: 'warm', cachedTokens: 0, restoredTokens: 0, evaluatedTokens: prompt.length },
      });
      expect(warming.status().heldTokens - before.heldTokens).toBe(prompt.length);
      const next = concat(prompt, await question(service));
      const { usage } = await generate(service, next, 'found');
      expect(usage).toMatchObject({ cachedTokens: prompt.length, warmedTokens: prompt.length });
      expect(usage.evaluatedTokens).toBe(next.length - prompt.length);
      expect(warming.status().usedTokens - before.usedTokens).toBe(prompt.length);
      expect((await generate(service, next, 'found')).usage.warmedTokens ?? 0).toBe(0);
    });

    test('what is warm is not evaluated again, and what follows alone is', async () => {
      const prompt = await context('more', 0.15);
      const begun = prompt.slice(0, prompt.length >> 1);
      await warm(begun, 'more');
      const outcome = await warm(prompt, 'more');
      expect(outcome).toMatchObject({ end: 'warm', evaluatedTokens: prompt.length - begun.length });
      expect(outcome.cachedTokens).toBe(begun.length);
      expect(await warm(prompt, 'more')).toMatchObject({ end: 'warm', evaluatedTokens: 0 });
      const next = concat(prompt, await question(service));
      expect((await generate(service, next, 'more')).usage.warmedTokens).toBe(prompt.length);
    });

    test('what follows a reply is warmed on top of it', async () => {
      const prompt = await context('reply', 0.1);
      const { ids } = await generate(service, prompt, 'reply');
      const longer = concat(prompt, ids, await context('from elsewhere', 0.05));
      const { end, evaluatedTokens } = await warm(longer, 'reply');
      expect(end).toBe('warm');
      expect(evaluatedTokens).toBeLessThanOrEqual(longer.length - prompt.length - ids.length + 1);
      const next = concat(longer, await question(service));
      const { usage } = await generate(service, next, 'reply');
      expect(usage).toMatchObject({ cachedTokens: longer.length, warmedTokens: evaluatedTokens });
    });

    test('a reply is the same, warmed or not', async () => {
      const prompt = concat(await context('same', 0.1), await question(service));
      const cold = await generate(service, prompt, 'cold');
      await warm(prompt.slice(0, -8), 'warmed');
      expect((await generate(service, prompt, 'warmed')).text).toBe(cold.text);
    });

    test('every generation that comes is answered, and warming goes on afterwards', async () => {
      const prompt = await context('stands aside', 0.2);
      const { preemptions } = warming.status();
      const outcome = warm(prompt, 'stands aside');
      let isOver = false;
      void outcome.then(() => {
        isOver = true;
      });
      await new Promise(setImmediate);
      for (let i = 0; i < 3 && !isOver; i++) await generate(service, await question(service), `comes-${i}`);
      const { end, cachedTokens, evaluatedTokens } = await outcome;
      expect(end).toBe('warm');
      // The little that was done first may have made room for who came.
      expect(cachedTokens + evaluatedTokens).toBeGreaterThanOrEqual(prompt.length);
      expect(warming.status().preemptions).toBeGreaterThan(preemptions);
    });

    test('its own generation goes on from what is done', async () => {
      const prompt = await context('taken', 0.2);
      const outcome = warm(prompt, 'taken');
      await new Promise(setImmediate);
      const { usage } = await generate(service, concat(prompt, await question(service)), 'taken');
      const { end, evaluatedTokens } = await outcome;
      expect(['taken', 'warm']).toContain(end);
      expect(evaluatedTokens).toBeGreaterThan(0);
      expect(usage).toMatchObject({ cachedTokens: evaluatedTokens, warmedTokens: evaluatedTokens });
    });

    test('an abort ends it, and what is done stays', async () => {
      expect(await warm(await context('late', 0.1), 'late', AbortSignal.abort())).toEqual({
        ...{ end: 'stopped', cachedTokens: 0, restoredTokens: 0, evaluatedTokens: 0 },
      });
      const prompt = await context('stopped', 0.2);
      const controller = new AbortController();
      const outcome = warm(prompt, 'stopped', controller.signal);
      const waiting = warm(prompt, 'waits', controller.signal);
      await new Promise(setImmediate);
      controller.abort();
      const { evaluatedTokens } = await outcome;
      expect((await waiting).end).toBe('stopped');
      expect(await warm(prompt, 'stopped')).toMatchObject({ end: 'warm', cachedTokens: evaluatedTokens });
    });

    test('a session forgotten meanwhile is not warmed, and what was is waste', async () => {
      const { warmedTokens, wastedTokens } = warming.status();
      const prompt = await context('forgotten', 0.2);
      const outcome = warm(prompt, 'forgotten');
      await new Promise(setImmediate);
      warming.forget('forgotten');
      expect((await outcome).end).toBe('forgotten');
      const after = await context('forgotten afterwards', 0.1);
      await warm(after, 'forgotten afterwards');
      warming.forget('forgotten afterwards');
      // What was asked for before has been heard by the time that this is answered.
      await service.ready();
      const now = warming.status();
      expect(now.wastedTokens - wastedTokens).toBe(now.warmedTokens - warmedTokens);
      expect(now.wastedTokens - wastedTokens).toBeGreaterThanOrEqual(after.length);
    });

    test("what is held of a user's sessions is gone once that is told, and what is others' stays", async () => {
      const under = warm(await context('under way', 0.2), 'k\nada\nt');
      await new Promise(setImmediate);
      await warming.forgetAll('\nada\n');
      expect((await under).end).toBe('forgotten');
      const [gone, stays] = [await context('erased', 0.1), await context('not erased', 0.1)];
      // Room for both where there are two places.
      for (const earlier of ['stopped', 'taken', 'stands aside', 'warmed', 'cold']) warming.forget(earlier);
      expect((await warm(gone, 'k\nada\ns')).end).toBe('warm');
      expect((await warm(stays, 'k\nbob\ns')).end).toBe('warm');
      const { usedTokens } = warming.status();
      await warming.forgetAll('\nada\n');
      await generate(service, concat(stays, await question(service)), 'k\nbob\ns');
      await generate(service, concat(gone, await question(service)), 'k\nada\ns');
      expect(warming.status().usedTokens - usedTokens).toBe(stays.length);
    });

    test('what was warmed can be dropped, and what turns left stays', async () => {
      const prompt = await context('left by a turn', 0.1);
      const { ids } = await generate(service, prompt, 'both');
      const longer = concat(prompt, ids, await context('from elsewhere again', 0.1));
      await warm(longer, 'both');
      const alone = await context('nothing but warm', 0.1);
      await warm(alone, 'alone');
      const before = warming.status();
      for (const affinity of ['both', 'alone', 'nobody']) warming.dropWarm(affinity);
      await service.ready();
      expect(warming.status().wastedTokens - before.wastedTokens).toBeGreaterThan(longer.length - prompt.length - 10);
      const { usage } = await generate(service, longer, 'both');
      expect(usage.warmedTokens ?? 0).toBe(0);
      expect(usage.cachedTokens).toBeGreaterThanOrEqual(prompt.length);
      expect(usage.evaluatedTokens).toBeLessThan(longer.length - prompt.length + 1);
      expect((await generate(service, alone, 'alone')).usage.warmedTokens ?? 0).toBe(0);
    });

    test('a prompt that nothing could begin with is refused', async () => {
      const { contextTokens, vocabularySize } = service.description;
      const id = (await question(service))[0] as TokenId;
      const tooLong = new Array<TokenId>(contextTokens).fill(id);
      await expect(warm(tooLong, 'bad')).rejects.toMatchObject({ code: 'context_overflow' });
      await expect(warm([], 'bad')).rejects.toMatchObject({ code: 'invalid_request' });
      await expect(warm([id, vocabularySize as TokenId], 'bad')).rejects.toMatchObject({ code: 'invalid_request' });
    });

    test('more than may wait are turned away', async () => {
      const controller = new AbortController();
      const prompt = await context('one of many', 0.1);
      const outcomes = Array.from({ length: 200 }, (_, i) => warm(prompt, `many-${i}`, controller.signal));
      await outcomes.at(-1);
      controller.abort();
      const ends = new Set((await Promise.all(outcomes)).map(({ end }) => end));
      expect(ends).toContain('no_room');
      expect(ends).toContain('stopped');
    });

    test('says what evaluating costs, and loses no id', async () => {
      expect(warming.speed()?.msPerToken).toBeGreaterThan(0);
      const { warmedTokens, usedTokens, wastedTokens, heldTokens } = warming.status();
      for (const count of [usedTokens, wastedTokens, heldTokens]) expect(count).toBeGreaterThanOrEqual(0);
      expect(usedTokens + wastedTokens + heldTokens).toBe(warmedTokens);
    });

    test('what is held of who is expected less gives way, until its own generation comes', async () => {
      const own = await start();
      try {
        const { slots, warming } = own.service;
        const places = slots.call(own.service).length;
        const texts = new Map<string, TokenId[]>();
        const warm = async (affinity: string, chance: number) => {
          const prompt = texts.get(affinity) ?? (await longText(own.service, 0.1, affinity));
          texts.set(affinity, prompt);
          return (await warming?.warm({ prompt, affinity, owner: affinity, chance }, never()))?.end;
        };
        const turn = (affinity: string) => generate(own.service, texts.get(affinity) ?? [], affinity);
        for (let i = 2; i < places; i++) expect(await warm(`stays-${i}`, 1)).toBe('warm');
        expect(await warm('comes', 0.4)).toBe('warm');
        expect(await warm('leaves', 0.8)).toBe('warm');
        warming?.expect('comes', 0.9);
        warming?.expect('leaves', 0.2);
        warming?.expect('nobody', 1);
        expect(await warm('middling', 0.6)).toBe('warm');
        expect((await turn('comes')).usage.warmedTokens).toBe((texts.get('comes')?.length ?? 0) - 1);
        warming?.expect('comes', 0);
        await turn('comes');
        expect(await warm('leaves', 0.1)).toBe('no_room');
      } finally {
        await own.stop();
      }
    });

    test('a close ends it', async () => {
      const own = await start();
      try {
        const prompt = await longText(own.service, 0.2, 'closed');
        const request = { prompt, affinity: 'closed', owner: undefined, chance: 1 };
        const outcome = own.service.warming?.warm(request, never());
        await new Promise(setImmediate);
        await own.service.close();
        expect((await outcome)?.end).toBe('stopped');
        expect((await own.service.warming?.warm(request, never()))?.end).toBe('stopped');
      } finally {
        await own.stop();
      }
    });
  });
}

const never = (): AbortSignal => new AbortController().signal;

async function generate(service: LlmService, prompt: TokenSequence, affinity: string): Promise<GenerationEnd> {
  const request = { maxTokens: 8, stop: [], sampling: { temperature: 0 }, stream: false, owner: affinity };
  let end: GenerationEnd | undefined;
  for await (const event of service.generate({ ...request, prompt, affinity }, never())) {
    if (event.kind === 'end') end = event;
  }
  return end as GenerationEnd;
}

function question(service: LlmService): Promise<TokenId[]> {
  const text = '<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n';
  return service.tokenize(text, { parseSpecial: true });
}

/** `share` of the context window in ids that have no common beginning with those of other `salt`s. */
async function longText(service: LlmService, share: number, salt: string): Promise<TokenId[]> {
  const length = Math.floor(service.description.contextTokens * share);
  const text = `${salt} ${'the robot has a lamp and a cup of tea '.repeat(length)}`;
  return (await service.tokenize(text, { parseSpecial: false })).slice(0, length);
}

function concat(...sequences: TokenSequence[]): TokenId[] {
  const all: TokenId[] = [];
  for (const ids of sequences) appendTokens(all, ids);
  return all;
}
