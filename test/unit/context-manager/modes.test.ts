// Mixes modes: a session must keep the one it was opened in, `raw` must render the whole conversation as messages,
// `client-side` must store nothing and touch no session, system messages belong to turn 1, and content that a model cannot
// be shown must not go missing.
import { describe, expect, it, vi } from 'vitest';
import type { SessionId } from '../../../src/domain/identifiers.ts';
import type { ContentPart } from '../../../src/domain/record/message-content.ts';
import { sealRecord } from '../../../src/domain/record/record-codec.ts';
import type { StoredMode, TurnRecord } from '../../../src/domain/record/turn-record.ts';
import { bytes, chatmlIds } from '../../support/chatml-oracle.ts';
import { codeOf, contextManagerRig, type Rig } from '../../support/context-manager-rig.ts';
import { IM_END, IM_START } from '../../support/probed-llm.ts';

describe('a session keeps its mode', () => {
  it.each([
    ['tokenized', 'raw'],
    ['raw', 'tokenized'],
  ] as const)('%s refuses %s', async (mode, other) => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1, mode });
    expect(await codeOf(rig.turn({ session: 's', turn: 2, mode: other }))).toBe('mode_mismatch');
    rig.restart();
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ mode, turn: 2 });
    expect(await rig.turn({ session: 's', turn: 3, mode })).toMatchObject({ mode, turn: 3 });
  });

  it('takes the default of the node where none is named', async () => {
    const rig = await contextManagerRig({ options: { defaultMode: 'raw' } });
    expect(await rig.turn({ session: 's', turn: 1 })).toMatchObject({ mode: 'raw' });
    expect(await rig.turn({ session: 't', turn: 1, mode: 'tokenized' })).toMatchObject({ mode: 'tokenized' });
    expect(await rig.turn({ session: 't', turn: 2 })).toMatchObject({ mode: 'tokenized' });
  });

  it('the same messages give the same prompt in both modes', async () => {
    const rig = await contextManagerRig();
    for (const mode of ['tokenized', 'raw'] as const) {
      await rig.turn({ session: mode, turn: 1, mode, system: 'brief', text: '<|im_end|> one' });
      await rig.turn({ session: mode, turn: 2, mode, text: 'two' });
    }
    const [, tokenized, , raw] = rig.llm.generations.map(({ prompt }) => prompt);
    expect(raw).toEqual(tokenized);
  });
});

describe('raw', () => {
  it('renders the whole conversation anew: a reply that ran into its limit is closed, look-alikes stay text', async () => {
    const rig = await contextManagerRig({ scripted: { reply: () => 'an <|im_end|> of sorts' } });
    const said = await rig.turn({ session: 's', turn: 1, mode: 'raw', maxTokens: 12 });
    rig.restart();
    await rig.turn({ session: 's', turn: 2, mode: 'raw', text: 'two' });
    expect(said.text).toBe('an <|im_end|');
    expect(rig.llm.generations.at(-1)?.prompt).toEqual(
      chatmlIds(undefined, [
        { text: 'hello', reply: bytes('an <|im_end|') },
        { text: 'two', reply: undefined },
      ]),
    );
  });

  it('is replayed with its text', async () => {
    const rig = await contextManagerRig();
    const first = await rig.turn({ session: 's', turn: 1, mode: 'raw' });
    rig.restart();
    const again = await rig.turn({ session: 's', turn: 1, mode: 'raw' });
    expect(again).toMatchObject({ text: first.text, replayed: true, exact: false });
    expect(await rig.llm.detokenize(again.replyIds)).toBe(first.text);
    expect(again.usage.predictedTokens).toBe(again.replyIds.length);
  });
});

describe('client-side', () => {
  it('forwards texts and ids as they are, control tokens and all, and keeps nothing', async () => {
    const rig = await contextManagerRig();
    const prompt = ['<|im_start|>user\nhi', [IM_END, ...bytes('\n')]];
    const reply = await rig.forward({ prompt });
    expect(rig.llm.generations[0]?.prompt).toEqual([IM_START, ...bytes('user\nhi'), IM_END, ...bytes('\n')]);
    expect(rig.llm.generations[0]?.request.affinity).toBeUndefined();
    for (const place of ['turn', 'contextId', 'sessionId', 'replayed']) expect(reply).not.toHaveProperty(place);
    expect(rig.store.appended).toHaveLength(0);
    expect(rig.store.reads).toBe(0);
    await rig.forward({ prompt });
    expect(rig.llm.generations).toHaveLength(2);
  });

  it('tells the prompt in words, of which only ids are asked for, before the reply is there', async () => {
    const rig = await contextManagerRig();
    const asked = vi.spyOn(rig.llm, 'detokenize');
    expect(await rig.forward({ prompt: ['<|im_start|>hi'], promptText: true })).toMatchObject({
      promptText: '<|im_start|>hi',
    });
    expect((await rig.forward({ prompt: [[IM_START]] })).promptText).toBeUndefined();
    expect(asked).not.toHaveBeenCalled();

    const hold = rig.llm.hold();
    const mixed = rig.forward({ prompt: [[IM_START], 'hi', [IM_END, ...bytes('!')]], promptText: true });
    await hold.entered;
    await rig.settled();
    expect(asked).toHaveBeenCalledTimes(2);
    hold.release();
    expect((await mixed).promptText).toBe('<|im_start|>hi<|im_end|>!');

    Object.assign(rig.llm.description, { prependBos: IM_START, bosText: '<|im_start|>' });
    for (const prompt of [['hi'], ['<|im_start|>hi'], [[IM_START], 'hi']]) {
      expect((await rig.forward({ prompt, promptText: true })).promptText).toBe('<|im_start|>hi');
    }
  });

  it('a reply whose prompt cannot be put into words is a reply', async () => {
    const rig = await contextManagerRig();
    rig.llm.isGone = true;
    const reply = await rig.forward({ prompt: [bytes('hi')], promptText: true });
    expect(reply).toMatchObject({ text: expect.any(String), promptText: undefined });
  });

  it('does not touch a stored session', async () => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1 });
    await rig.forward({ prompt: ['x'] });
    expect(await rig.turn({ session: 's', turn: 2 })).toMatchObject({ turn: 2, basedOnTurn: 1 });
  });

  it('several run at once', async () => {
    const rig = await contextManagerRig();
    const holds = [rig.llm.hold(), rig.llm.hold()];
    const calls = [1, 2].map(() => rig.forward({ prompt: ['x'] }));
    await Promise.all(holds.map(({ entered }) => entered));
    for (const hold of holds) hold.release();
    expect(await Promise.all(calls)).toHaveLength(2);
  });

  it.each([
    ['no text', ['']],
    ['nothing', []],
    ['an id past the vocabulary', [[258]]],
    ['a negative id', [[-1]]],
    ['a fractional id', [[1.5]]],
  ])('refuses %s', async (_name, prompt) => {
    const rig = await contextManagerRig();
    expect(await codeOf(rig.forward({ prompt: prompt as never }))).toBe('invalid_request');
    expect(rig.llm.generations).toHaveLength(0);
  });

  it('refuses a prompt that is too long', async () => {
    const rig = await contextManagerRig({ scripted: { contextTokens: 100 } });
    const prompt = (length: number) => rig.forward({ prompt: ['x'.repeat(length)] });
    expect(await codeOf(prompt(100))).toBe('context_overflow');
    expect(await prompt(99)).toMatchObject({ promptTokens: 99, stop: { kind: 'limit' } });
  });

  it('a BOS id comes before a text that has none, once', async () => {
    const rig = await contextManagerRig();
    Object.assign(rig.llm.description, { prependBos: IM_START });
    for (const prompt of [['hi'], ['<|im_start|>hi'], [bytes('hi')], [[IM_START, IM_START]]]) {
      await rig.forward({ prompt });
    }
    expect(rig.llm.generations.map(({ prompt }) => prompt)).toEqual([
      [IM_START, ...bytes('hi')],
      [IM_START, ...bytes('hi')],
      bytes('hi'),
      [IM_START, IM_START],
    ]);
  });
});

describe('a template under which all of a conversation changes with each message', () => {
  const chatTemplate =
    "{{ '' ~ (messages | length) }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' }}" +
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

  it('is followed in every mode, and the reply says what is evaluated again', async () => {
    const rig = await contextManagerRig({ chatTemplate });
    const first = await rig.turn({ session: 's', turn: 1 });
    expect(first).toMatchObject({ mode: 'tokenized', rewrittenTokens: 0 });
    const second = await rig.turn({ session: 's', turn: 2 });
    expect(second.rewrittenTokens).toBe(first.promptTokens + first.replyIds.length);
    expect(rig.llm.generations.at(-1)?.prompt[0]).toBe('3'.charCodeAt(0));
    expect(await rig.turn({ session: 'r', turn: 1, mode: 'raw' })).toMatchObject({ turn: 1 });
    expect(await rig.turn({ session: 'r', turn: 2 })).toMatchObject({ turn: 2, mode: 'raw', rewrittenTokens: 0 });
    expect(await rig.forward({ prompt: ['x'] })).toMatchObject({ text: expect.any(String) });
  });
});

describe('content that the model cannot be shown', () => {
  const picture: ContentPart = { type: 'image', digest: 'ab'.repeat(32), mediaType: 'image/png', size: 9 };
  const call: ContentPart = { type: 'tool-call', callId: 'c', name: 'weather', arguments: '{}' };
  const said = (...content: ContentPart[]) => [{ role: 'user' as const, content }];

  it.each(['tokenized', 'raw'] as const)('%s: is refused, and nothing is stored', async (mode) => {
    const rig = await contextManagerRig();
    for (const part of [picture, call]) {
      const messages = said({ type: 'text', text: 'look' }, part);
      expect(await codeOf(rig.turn({ session: 's', turn: 1, mode, messages }))).toBe('unsupported_parameter');
    }
    expect(rig.records('s')).toEqual([]);
    expect(rig.llm.generations).toEqual([]);
  });

  it.each(['tokenized', 'raw'] as const)('%s: parts that are all text are a text', async (mode) => {
    const rig = await contextManagerRig();
    const [one, two]: ContentPart[] = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ];
    await rig.turn({ session: 's', turn: 1, mode, messages: said(one as ContentPart, two as ContentPart) });
    await rig.turn({ session: 't', turn: 1, mode, text: 'one\ntwo' });
    const [parts, plain] = rig.llm.generations.map(({ prompt }) => prompt);
    expect(parts).toEqual(plain);
  });

  /** Turn 1 of session t, as a node wrote it that can do more. */
  async function written(rig: Rig, mode: StoredMode, change: (turn: TurnRecord) => object): Promise<void> {
    await rig.turn({ session: 's', turn: 1, mode });
    const { record } = rig.records('s')[0] as { record: TurnRecord };
    const payload = { ...record.payload, ...change(record) } as TurnRecord['payload'];
    await rig.store.append(sealRecord({ ...record, sessionId: 't' as SessionId, payload }));
  }

  it('tokenized: a session with media in it is not continued, one with marked calls is', async () => {
    const mark = (part: ContentPart) => ({ marks: [{ segment: 'prompt', start: 0, length: 1, part }] });
    let rig = await contextManagerRig();
    await written(rig, 'tokenized', () => mark(picture));
    expect(await codeOf(rig.turn({ session: 't', turn: 2 }))).toBe('unsupported_parameter');
    rig = await contextManagerRig();
    await written(rig, 'tokenized', () => mark(call));
    expect(await rig.turn({ session: 't', turn: 2 })).toMatchObject({ turn: 2 });
  });

  it('raw: a session with a picture is not continued, nor one with a call under a template that knows none', async () => {
    for (const [content, code] of [
      [{ messages: said(picture) }, 'unsupported_parameter'],
      [{ reply: [call] }, 'invalid_request'],
    ] as const) {
      const rig = await contextManagerRig();
      await written(rig, 'raw', () => content);
      expect(await codeOf(rig.turn({ session: 't', turn: 2 }))).toBe(code);
    }
  });
});

describe('system messages', () => {
  it.each(['tokenized', 'raw'] as const)('%s: only in turn 1', async (mode) => {
    const rig = await contextManagerRig();
    await rig.turn({ session: 's', turn: 1, mode, system: 'be brief' });
    expect(await codeOf(rig.turn({ session: 's', turn: 2, mode, system: 'be long' }))).toBe('invalid_request');
    expect(await rig.turn({ session: 's', turn: 2, mode })).toMatchObject({ turn: 2 });
  });
});

describe('what the LLM Service is asked', () => {
  it('sampling, stop words and stream as the client sent them, the limit within the node, one affinity per session', async () => {
    const rig = await contextManagerRig({ options: { replyTokensDefault: 50, replyTokensMax: 100 } });
    const sampling = { temperature: 0.2, anything: ['else'] };
    await rig.turn({ session: 's', turn: 1, sampling, stop: ['x'], stream: true, maxTokens: 10_000 });
    await rig.turn({ session: 's', turn: 2 });
    await rig.turn({ session: 's', turn: 1, user: 'bob', maxTokens: 7 });
    const [first, second, bob] = rig.llm.generations.map(({ request }) => request);
    expect(first).toMatchObject({ sampling, stop: ['x'], stream: true, maxTokens: 100 });
    expect(second).toMatchObject({ sampling: {}, stop: [], stream: false, maxTokens: 50 });
    expect(bob?.maxTokens).toBe(7);
    expect(second?.affinity).toBe(first?.affinity);
    expect(bob?.affinity).not.toBe(first?.affinity);
  });
});
