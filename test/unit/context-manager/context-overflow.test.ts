// Fills small context windows: under `error` nothing may be cut, under `drop-oldest` whole turns only, seldom, named in the
// reply, the same after a restart, and undone when the turn fails. An oracle that knows only ChatML says what is left.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TokenSequence } from '../../../src/domain/token-sequence.ts';
import { chatmlIds, type ToldTurn } from '../../support/chatml-oracle.ts';
import { type Ask, codeOf, contextManagerRig, errorOf, type Rig } from '../../support/context-manager-rig.ts';

const WINDOW = 400;
const REPLY = 40;
const drop = { overflow: 'drop-oldest' as const, maxTokens: REPLY };

const smallRig = (): Promise<Rig> =>
  contextManagerRig({
    scripted: { contextTokens: WINDOW, reply: () => 'r'.repeat(100) },
    options: { replyTokensDefault: REPLY },
  });

/** Takes turns and remembers what was told, as the client would. */
class Teller {
  readonly told: ToldTurn[] = [];
  readonly rig: Rig;
  readonly system: string | undefined;

  constructor(rig: Rig, system?: string) {
    this.rig = rig;
    this.system = system;
  }

  async tell(text: string, ask: Ask = drop) {
    const opening = this.told.length === 0 ? { system: this.system } : {};
    const reply = await this.rig.turn({ session: 's', turn: this.told.length + 1, text, ...ask, ...opening } as Ask);
    const asked = this.rig.llm.generations.at(-1)?.prompt as TokenSequence;
    const left = [...this.told.slice(reply.droppedTurns), { text, reply: undefined }];
    expect(asked).toEqual(chatmlIds(this.system, left));
    expect(asked.length + REPLY).toBeLessThanOrEqual(WINDOW);
    this.told.push({ text, reply: reply.replyIds });
    return { ...reply, prompt: asked };
  }
}

describe('error', () => {
  it('refuses what does not fit, with the sizes and what to do, and harms nothing', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    await teller.tell('a'.repeat(100));
    const error = await errorOf(rig.turn({ session: 's', turn: 2, text: 'b'.repeat(250), maxTokens: REPLY }));
    expect(error).toMatchObject({ code: 'context_overflow', param: 'prompt' });
    expect(error.message).toMatch(/\d+ ids are needed and the context window holds 400.*drop-oldest/);
    expect(error.message).not.toContain('bbb');
    expect(await teller.tell('short', { maxTokens: REPLY })).toMatchObject({ turn: 2, droppedTurns: 0 });
  });

  it.each(['error', 'drop-oldest'] as const)('%s: a first message that is too long is told so', async (overflow) => {
    const rig = await smallRig();
    const error = await errorOf(rig.turn({ session: 's', turn: 1, text: 'x'.repeat(500), overflow }));
    expect(error).toMatchObject({
      code: 'context_overflow',
      message: expect.stringContaining('message alone is too long'),
    });
  });

  it('keeps room for a reply, but never more than a quarter of the window', async () => {
    const rig = await smallRig();
    expect(await rig.turn({ session: 's', turn: 1, text: 'x'.repeat(250), maxTokens: 100_000 })).toMatchObject({
      turn: 1,
    });
    expect(await codeOf(rig.turn({ session: 't', turn: 1, text: 'x'.repeat(290), maxTokens: 100_000 }))).toBe(
      'context_overflow',
    );
    const [first] = rig.llm.generations;
    expect(first?.request.maxTokens).toBeGreaterThanOrEqual(100);
    expect((first?.request.maxTokens ?? 0) + (first?.prompt.length ?? 0)).toBeLessThanOrEqual(WINDOW);
  });
});

describe('drop-oldest', () => {
  it('cuts whole turns, to about half, keeps the system message, and says how many turns the model no longer sees', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig, 'be brief');
    const dropped: number[] = [];
    for (let turn = 1; turn <= 30; turn++) {
      const reply = await teller.tell(`message ${turn}`);
      if (reply.droppedTurns > (dropped.at(-1) ?? 0)) expect(reply.prompt.length).toBeLessThanOrEqual(WINDOW / 2);
      dropped.push(reply.droppedTurns);
    }
    expect(dropped).toEqual(dropped.toSorted((a, b) => a - b));
    const cuts = new Set(dropped).size - 1;
    expect(cuts).toBeGreaterThan(5);
    expect(cuts).toBeLessThan(16);
  });

  it('costs the KV prefix only where it cuts', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig, 'be brief');
    let before = await teller.tell('message');
    for (let turn = 2; turn <= 20; turn++) {
      const now = await teller.tell('message');
      const known = before.prompt.length + before.replyIds.length;
      if (now.droppedTurns === before.droppedTurns) expect(now.usage.cachedTokens).toBeGreaterThanOrEqual(known - 1);
      else expect(now.usage.cachedTokens).toBeLessThan(known);
      before = now;
    }
  });

  it('reads the same prompt after restarts, evictions and failures, whatever the sizes', async () => {
    // 320 is the longest message that fits next to a system message and a reply when all turns are dropped.
    const size = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0, max: 60 }) }, fc.integer({ min: 0, max: 320 }));
    const step = fc.record({ size, restart: fc.boolean(), fails: fc.boolean() });
    const system = fc.option(fc.constant('be brief'), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), system, async (history, system) => {
        const rig = await smallRig();
        const teller = new Teller(rig, system);
        for (const { size, restart, fails } of history) {
          if (restart) rig.restart();
          if (fails) {
            rig.llm.failNext('midway');
            await expect(teller.tell('!'.repeat(size))).rejects.toMatchObject({ code: 'llm_unavailable' });
          }
          await teller.tell('m'.repeat(size));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('that fails leaves no trace: the same message fits uncut once the window allows it', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    await teller.tell('a'.repeat(60));
    await teller.tell('b'.repeat(60));
    rig.llm.failNext('midway');
    expect(await codeOf(rig.turn({ session: 's', turn: 3, text: 'c'.repeat(200), ...drop }))).toBe('llm_unavailable');
    expect(rig.llm.generations.at(-1)?.prompt.length).toBeLessThan(300);
    rig.store.failNext('append');
    expect(await codeOf(rig.turn({ session: 's', turn: 3, text: 'd'.repeat(200), ...drop }))).toBe('store_unavailable');
    expect(await teller.tell('e')).toMatchObject({ turn: 3, droppedTurns: 0 });
  });

  it('stays cut, and stays labelled, under a request that says nothing of it', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    for (let turn = 1; turn <= 5; turn++) await teller.tell('m'.repeat(60));
    const { droppedTurns } = await teller.tell('m', { maxTokens: REPLY });
    expect(droppedTurns).toBeGreaterThan(0);
    rig.restart();
    expect(await rig.turn({ session: 's', turn: 6, text: 'm', maxTokens: REPLY })).toMatchObject({
      replayed: true,
      droppedTurns,
    });
  });

  it('drops everything but the new message where it must, and goes on from there', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig, 'be brief');
    await teller.tell('a'.repeat(100));
    expect(await teller.tell('b'.repeat(200))).toMatchObject({ turn: 2, droppedTurns: 1 });
    rig.restart();
    expect(await teller.tell('c')).toMatchObject({ turn: 3, droppedTurns: 1 });
  });

  it('says when the new message alone is too long', async () => {
    const rig = await smallRig();
    const teller = new Teller(rig);
    await teller.tell('a');
    const error = await errorOf(rig.turn({ session: 's', turn: 2, text: 'x'.repeat(380), ...drop }));
    expect(error).toMatchObject({
      code: 'context_overflow',
      message: expect.stringContaining('message alone is too long'),
    });
    expect(await teller.tell('b')).toMatchObject({ turn: 2, droppedTurns: 0 });
  });

  it('does not silently drop a system message that the template hides in the first user message', async () => {
    const rig = await contextManagerRig({
      scripted: { contextTokens: WINDOW },
      chatTemplate:
        "{% set system = '' %}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}" +
        '{% set messages = messages[1:] %}{% endif %}{% for m in messages %}' +
        "{{ '<|im_start|>' + m.role + '\n' + (system if loop.first else '') + m.content + '<|im_end|>\n' }}{% endfor %}" +
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    });
    await rig.turn({ session: 's', turn: 1, system: 'be brief', text: 'a'.repeat(100), maxTokens: REPLY });
    const error = await errorOf(rig.turn({ session: 's', turn: 2, text: 'b'.repeat(200), ...drop }));
    expect(error).toMatchObject({ code: 'context_overflow', param: 'overflow' });
    await rig.turn({ session: 't', turn: 1, text: 'a'.repeat(100), maxTokens: REPLY });
    expect(await rig.turn({ session: 't', turn: 2, text: 'b'.repeat(200), ...drop })).toMatchObject({
      droppedTurns: 1,
    });
  });
});

describe('raw', () => {
  it('drops the same way: whole turns, the system message kept, labelled, the same after a restart', async () => {
    const rig = await smallRig();
    const raw = { mode: 'raw' as const, ...drop };
    const dropped: number[] = [];
    for (let turn = 1; turn <= 12; turn++) {
      if (turn % 3 === 0) rig.restart();
      const opening = turn === 1 ? { system: 'be brief' } : {};
      const reply = await rig.turn({ session: 's', turn, text: `message ${turn}`, ...raw, ...opening });
      const prompt = Buffer.from((rig.llm.generations.at(-1)?.prompt ?? []).filter((id) => id < 256)).toString();
      expect(prompt).toMatch(/^system\nbe brief\nuser\n/);
      expect(prompt.match(/message \d+/g)).toEqual(
        Array.from({ length: turn - reply.droppedTurns }, (_, i) => `message ${reply.droppedTurns + i + 1}`),
      );
      if (reply.droppedTurns !== (dropped.at(-1) ?? 0)) expect(reply.promptTokens).toBeLessThanOrEqual(WINDOW / 2);
      dropped.push(reply.droppedTurns);
    }
    expect(dropped).toEqual(dropped.toSorted((a, b) => a - b));
    const cuts = new Set(dropped).size - 1;
    expect(cuts).toBeGreaterThan(1);
    expect(cuts).toBeLessThanOrEqual(dropped.length / 2);
    expect(
      await codeOf(rig.turn({ session: 's', turn: 13, mode: 'raw', text: 'x'.repeat(300), maxTokens: REPLY })),
    ).toBe('context_overflow');
  });
});
