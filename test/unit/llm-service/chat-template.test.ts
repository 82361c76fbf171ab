// What a chat template makes of messages, in the styles of well-known model families. Tries to catch a turn that adds
// anything but what the template itself would write, a lead that is not the preamble or the reply's end, a second BOS or
// end token, and bad messages that crash. The expectation is Jinja run on the real contents.
import { describe, expect, test, vi } from 'vitest';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import type { Role, TextMessage } from '../../../src/domain/record/turn-record.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { compileChatTemplate, EMPTY_PREAMBLE } from '../../../src/llm-service/chat-template.ts';
import { JinjaTemplate } from '../../../src/llm-service/jinja/template.ts';
import { APPENDABLE_STYLES, CHANGING_STYLES } from '../../support/chat-template-styles.ts';
import {
  compiledStyle,
  expectedReply,
  JANUARY_31,
  nextSegment,
  STYLE_NAMES,
  written,
} from '../../support/compiled-style.ts';
import { byteTokenizer, templateDescription, wordTokenizer } from '../../support/toy-tokenizer.ts';

const user = (content: string): TextMessage => ({ role: 'user', content });
const system = (content: string): TextMessage => ({ role: 'system', content });
const assistant = (content: string): TextMessage => ({ role: 'assistant', content });

const WITH_SYSTEM = STYLE_NAMES.filter((name) => APPENDABLE_STYLES[name].system !== 'refused');
const OPENINGS = [
  ...STYLE_NAMES.map((name) => [name, 'without', [user('What is SLAM?')]] as const),
  ...WITH_SYSTEM.map((name) => [name, 'with', [system('Be brief.'), user('What is SLAM?')]] as const),
];
const { source: CHATML } = APPENDABLE_STYLES.chatml;

async function chatml(options: Parameters<typeof templateDescription>[1] = {}) {
  const tokenizer = byteTokenizer(APPENDABLE_STYLES.chatml.controls);
  const description = templateDescription(CHATML, options);
  return { tokenizer, template: await compileChatTemplate(description, tokenizer.tokenize) };
}

describe.each(OPENINGS)('under the %s style, %s system message', (name, _, opening) => {
  test('three turns read as the template writes them, and only add', async () => {
    const { style, tokenizer, template } = await compiledStyle(name);
    expect(template.whyUnusable).toBeUndefined();
    const messages: TextMessage[] = [...opening];
    let segment = await template.openSession(messages);
    const ids = [...segment.ids];
    for (const [reply, next] of [
      ['Mapping while moving.', 'And EKF?'],
      ['A filter.', 'Thanks'],
    ] as const) {
      expect(tokenizer.text(ids)).toBe(written(style, messages));
      const replyIds = await tokenizer.tokenize(expectedReply(style, messages, reply), { parseSpecial: true });
      segment = await nextSegment(template, replyIds, [user(next)]);
      ids.push(...replyIds, ...segment.ids);
      messages.push(assistant(reply), user(next));
    }
    expect(tokenizer.text(ids)).toBe(written(style, messages));
  });

  test('a reply cut before its end token gets it in front of the next turn', async () => {
    const { style, tokenizer, template } = await compiledStyle(name);
    const cut = expectedReply(style, opening, 'A map').slice(0, -style.end.length);
    const replyIds = await tokenizer.tokenize(cut.trimEnd(), { parseSpecial: false });
    const { ids, leadLength } = await nextSegment(template, replyIds, [user('Go on')]);
    const prompt = written(style, opening);
    const history = written(style, [...opening, assistant('A map'), user('Go on')]);
    expect(prompt + tokenizer.text([...replyIds, ...ids])).toBe(history);
    expect(tokenizer.text(ids.slice(0, leadLength))).toContain(style.end);
  });

  test('spans are the contents', async () => {
    const { tokenizer, template } = await compiledStyle(name);
    const { ids, spans } = await template.openSession(opening);
    const contents = spans.map(({ start, length }) => tokenizer.text(ids.slice(start, start + length)));
    expect(contents).toEqual(opening.map((message) => message.content));
    expect(spans.map((span) => span.role)).toEqual(opening.map((message) => message.role));
  });

  test('a later turn moved behind the preamble is a first turn', async () => {
    const { style, tokenizer, template } = await compiledStyle(name);
    const first = await template.openSession(opening);
    const inside = opening.length > 1 && style.system === 'inside';
    const next = user('And EKF?');
    for (const ending of ['cut', style.end]) {
      const replyIds = await tokenizer.tokenize(ending, { parseSpecial: true });
      const later = await nextSegment(template, replyIds, [next]);
      const moved = [...first.ids.slice(0, first.leadLength), ...later.ids.slice(later.leadLength)];
      const fresh = await template.openSession([...opening.slice(0, -1), next]);
      if (!inside) expect(tokenizer.text(moved)).toBe(tokenizer.text(fresh.ids));
    }
    if (opening.length > 1) expect(template.keepsSystem).toBe(!inside);
    if (inside) expect(first.leadLength).toBe(0);
  });

  test.each([
    ['a byte-pair', false],
    ['a SentencePiece', true],
  ])('the pieces give the ids of the whole text under %s-like tokenizer', async (_tokenizer, addsSpace) => {
    const { style, tokenizer, template } = await compiledStyle(name, (controls) =>
      wordTokenizer(controls, { addsSpace }),
    );
    const messages = [...opening];
    const { ids } = await template.openSession(messages);
    expect(ids).toEqual(await tokenizer.tokenize(written(style, messages), { parseSpecial: true }));
    expect(await template.renderWhole(messages)).toEqual(ids);
    const [reply, next] = ['Mapping while moving.', 'And EKF?'];
    const whole = await tokenizer.tokenize(written(style, [...messages, assistant(reply), user(next)]), {
      parseSpecial: true,
    });
    const end = whole.indexOf(tokenizer.control(style.end), ids.length) + 1;
    const replyIds = whole.slice(ids.length, end);
    ids.push(...replyIds, ...(await nextSegment(template, replyIds, [user(next)])).ids);
    expect(ids).toEqual(whole);
    expect(await template.renderWhole([...messages, assistant(reply), user(next)])).toEqual(whole);
  });

  test('a turn costs one tokenize call per message and no template run', async () => {
    const { tokenizer, template } = await compiledStyle(name);
    await template.openSession(opening);
    await nextSegment(template, [], [user('warm')]);
    tokenizer.calls.length = 0;
    const runs = vi.spyOn(JinjaTemplate.prototype, 'render');
    await template.openSession(opening);
    await nextSegment(template, [], [user('And EKF?')]);
    expect(tokenizer.calls).toEqual(
      [...opening, user('And EKF?')].map(({ content }) => ({ text: content, parseSpecial: false })),
    );
    expect(runs).not.toHaveBeenCalled();
    runs.mockRestore();
  });
});

describe.each(Object.entries(CHANGING_STYLES))('a template that %s', (_, { source, classes, why }) => {
  const description = templateDescription(source, { eosText: '<|im_end|>' });
  const tokenizer = byteTokenizer(APPENDABLE_STYLES.chatml.controls);

  test('is found out', async () => {
    const template = await compileChatTemplate(description, tokenizer.tokenize);
    expect(Object.fromEntries(template.classes.map((found) => [found.trait, found.class]))).toMatchObject(classes);
    const reasons = template.classes.flatMap((found) => found.why ?? []).join('; ');
    if (why !== undefined) expect(reasons).toMatch(why);
    expect(template.whyUnusable === undefined).toBe(classes.plain !== 'refused');
  });

  test('is rendered whole as it would be on the real contents', async () => {
    const template = await compileChatTemplate(description, tokenizer.tokenize);
    const style = { source, bosText: '', eosText: '<|im_end|>' };
    const one = [user(' first ')];
    const two = [...one, assistant('<think>\nwhy\n</think>\n\n because '), user('second')];
    if (template.whyUnusable !== undefined) {
      await expect(template.renderWhole(two)).rejects.toMatchObject({ code: 'mode_unavailable' });
      await expect(template.openSession(one)).rejects.toMatchObject({
        code: 'mode_unavailable',
        message: expect.stringMatching(/"client-side"/),
      });
      return;
    }
    expect(tokenizer.text(await template.renderWhole(one))).toBe(written(style, one));
    expect(tokenizer.text(await template.renderWhole(two))).toBe(written(style, two));
  });
});

describe('the end of a reply', () => {
  const [END, TEXT_END] = ['<|im_end|>', '<|endoftext|>'];
  const NEXT = '\n<|im_start|>user\nB<|im_end|>\n<|im_start|>assistant\n';

  test.each([
    ['known to the service', [END], END, NEXT],
    ['another one than the template writes', [END, TEXT_END], TEXT_END, END + NEXT],
    ['not known to the service', [], END, NEXT],
    ['missing', [END], 'x', END + NEXT],
    ['missing, with white space like the closing', [END], '\n', END + NEXT],
    ['missing, in an empty reply', [END], '', END + NEXT],
    ['another control token', [END], '<|im_start|>', END + NEXT],
    ['a known one where the template writes an unknown one', [TEXT_END], TEXT_END, END + NEXT],
  ])('%s', async (_, known, last, expected) => {
    const tokens = byteTokenizer(APPENDABLE_STYLES.chatml.controls);
    const { tokenizer, template } = await chatml({ endOfGeneration: known.map((text) => tokens.control(text)) });
    const replyIds = await tokenizer.tokenize(last, { parseSpecial: true });
    const { ids, leadLength, spans } = await nextSegment(template, replyIds, [user('B')]);
    expect(tokenizer.text(ids)).toBe(expected);
    expect(tokenizer.text(ids.slice(leadLength))).toBe(NEXT.slice(1));
    expect(spans.map(({ start, length }) => tokenizer.text(ids.slice(start, start + length)))).toEqual(['B']);
  });

  test.each([
    ['with the opener of the next message', '<|user|>', '\nB<|assistant|>\n'],
    ['with an end token that the template does not write', '<|endoftext|>', '<|user|>\nB<|assistant|>\n'],
    ['cut', 'x', '<|user|>\nB<|assistant|>\n'],
  ])('under a template that closes no reply, %s', async (_, last, expected) => {
    const tokenizer = byteTokenizer(['<|user|>', '<|assistant|>', '<|endoftext|>']);
    const source = `{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}`;
    const endOfGeneration = ['<|user|>', '<|endoftext|>'].map((text) => tokenizer.control(text));
    const template = await compileChatTemplate(templateDescription(source, { endOfGeneration }), tokenizer.tokenize);
    const replyIds = await tokenizer.tokenize(last, { parseSpecial: true });
    const { ids, leadLength } = await nextSegment(template, replyIds, [user('B')]);
    expect(tokenizer.text(ids)).toBe(expected);
    expect(leadLength).toBe(0);
  });

  test.each([
    ['a byte', byteTokenizer([])],
    ['a byte-pair-like', wordTokenizer([], { addsSpace: false })],
    ['a SentencePiece-like', wordTokenizer([], { addsSpace: true })],
  ])('a line break that closes a reply is not taken for an end token by %s tokenizer', async (_, tokenizer) => {
    const template = await compileChatTemplate(templateDescription(undefined), tokenizer.tokenize);
    const replyIds = await tokenizer.tokenize('ends in a line break\n', { parseSpecial: true });
    expect(tokenizer.text((await nextSegment(template, replyIds, [user('B')])).ids)).toBe('\nUser: B\nAssistant:');
  });
});

describe('BOS', () => {
  const BOS = 777 as TokenId;

  test('is put first where the model wants it and the template does not write it', async () => {
    const { template, tokenizer } = await chatml({ prependBos: BOS });
    const segment = await template.openSession([user('A')]);
    expect(segment.ids[0]).toBe(BOS);
    expect(segment.leadLength).toBe(1);
    expect(segment.spans[0]?.start).toBe(
      1 + (await tokenizer.tokenize('<|im_start|>user\n', { parseSpecial: true })).length,
    );
    expect((await template.openSession([system('S'), user('A')])).ids.filter((id) => id === BOS)).toHaveLength(1);
    expect((await template.renderWhole([user('A')])).slice(0, 2)).toEqual([BOS, tokenizer.control('<|im_start|>')]);
    expect((await nextSegment(template, [], [user('A')])).ids).not.toContain(BOS);
  });

  test('is not put twice where the template writes it', async () => {
    const style = APPENDABLE_STYLES.gemma;
    const tokenizer = byteTokenizer(style.controls);
    const bos = tokenizer.control('<bos>');
    const description = templateDescription(style.source, { ...style, prependBos: bos });
    const template = await compileChatTemplate(description, tokenizer.tokenize);
    for (const ids of [(await template.openSession([user('A')])).ids, await template.renderWhole([user('A')])]) {
      expect(ids.filter((id) => id === bos)).toEqual([bos]);
      expect(ids[0]).toBe(bos);
    }
    expect((await template.openSession([user('A')])).leadLength).toBe(1);
  });
});

describe('an empty message', () => {
  test.each(STYLE_NAMES)('leaves the %s template as it is written', async (name) => {
    const { style, tokenizer, template } = await compiledStyle(name, (controls) =>
      wordTokenizer(controls, { addsSpace: false }),
    );
    const { ids, spans } = await template.openSession([user('')]);
    expect(tokenizer.text(ids)).toBe(written(style, [user('')]));
    expect(spans).toHaveLength(1);
  });
});

describe('messages that a template does not take', () => {
  test('a system message that the template refuses is an invalid request', async () => {
    const { template } = await compiledStyle('gemma');
    for (const refused of [
      template.openSession([system('S'), user('A')]),
      template.renderWhole([system('S'), user('A')]),
    ]) {
      await expect(refused).rejects.toMatchObject({
        code: 'invalid_request',
        param: 'system',
        message: expect.stringMatching(/no system role here/),
      });
    }
    await expect(template.openSession([user('A')])).resolves.toBeDefined();
  });

  test('a message that the template would leave out is an invalid request', async () => {
    const { template } = await compiledStyle('deepseek');
    const messages: TextMessage[] = [user('A'), { role: 'tool', content: '42' }];
    const expected = { code: 'invalid_request', message: expect.stringMatching(/leaves out tool messages/) };
    await expect(template.openSession(messages)).rejects.toMatchObject(expected);
    await expect(template.renderWhole(messages)).rejects.toMatchObject(expected);
  });

  test('a later message that would change earlier turns is an invalid request', async () => {
    const { template } = await compiledStyle('deepseek');
    await expect(nextSegment(template, [], [system('S'), user('A')])).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  test('a later message that rewrites the first turn does so, however long ago that was', async () => {
    const source = `{% for m in messages %}{% if m.role == 'tool' %}{% set ns.tools = true %}{% endif %}{% endfor %}{{ 'with tools\n' if ns.tools }}${CHATML}`;
    const tokenizer = byteTokenizer(APPENDABLE_STYLES.chatml.controls);
    const template = await compileChatTemplate(
      templateDescription(`{% set ns = namespace(tools=false) %}${source}`),
      tokenizer.tokenize,
    );
    const turn = {
      messages: [{ role: 'user' as const }],
      calls: [],
      content: () => [65 as TokenId],
      promptIds: [],
      generationPrompt: [],
      replyIds: [66 as TokenId],
      ended: false,
      reasoningLength: 0,
    };
    const turns = Array.from({ length: 9 }, () => turn);
    const conversation = { turns, fromStart: true, system: undefined, preamble: EMPTY_PREAMBLE, opening: turn };
    const { changes } = await template.continueSession(conversation, [{ role: 'tool', content: '42' }]);
    expect(changes).toHaveLength(9);
    expect(tokenizer.text(changes[0]?.messages?.ids ?? [])).toBe('with tools\n<|im_start|>user\nA');
    expect(changes.slice(1).every((change) => change === undefined)).toBe(true);
  });

  test('no message at all is an invalid request', async () => {
    const { template } = await chatml();
    for (const refused of [template.openSession([]), nextSegment(template, [], []), template.renderWhole([])]) {
      await expect(refused).rejects.toMatchObject({ code: 'invalid_request' });
    }
  });

  test('more messages than a turn can have is an invalid request', async () => {
    const { template } = await chatml();
    const many = Array.from({ length: 32_769 }, () => user('A'));
    await expect(template.openSession(many)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(template.openSession(many.slice(1))).resolves.toBeDefined();
  });

  test('what is refused once is refused again, and does not disturb the rest', async () => {
    const { template, tokenizer } = await compiledStyle('gemma');
    for (let i = 0; i < 3; i++) await expect(template.openSession([system('S'), user('A')])).rejects.toThrow();
    expect(tokenizer.text((await template.openSession([user('A')])).ids)).toMatch(/A<end_of_turn>/);
  });
});

describe('a template that is not there or not usable', () => {
  test.each([
    ['cannot be parsed', '{% for m in messages %}'],
    ['calls what does not exist', '{{ nothing_here(messages) }}'],
  ])('%s: every use says so', async (_, source) => {
    const template = await compileChatTemplate(templateDescription(source), byteTokenizer([]).tokenize);
    expect(template.whyUnusable).toMatch(/cannot be (parsed|rendered)/);
    await expect(template.openSession([user('A')])).rejects.toMatchObject({ code: 'mode_unavailable' });
    await expect(template.renderWhole([user('A')])).rejects.toMatchObject({ code: 'mode_unavailable' });
  });

  test('a model without one speaks ChatML where its vocabulary does', async () => {
    const tokenizer = byteTokenizer(APPENDABLE_STYLES.chatml.controls);
    const template = await compileChatTemplate(templateDescription(undefined), tokenizer.tokenize);
    expect(template.origin).toBe('chatml');
    const { ids } = await template.openSession([system('S'), user('A')]);
    expect(tokenizer.text(ids)).toBe(written(APPENDABLE_STYLES.chatml, [system('S'), user('A')]));
    expect((await chatml()).template.origin).toBe('model');
  });

  test('a model without one and without ChatML tokens gets labelled lines', async () => {
    const tokenizer = byteTokenizer([]);
    const template = await compileChatTemplate(templateDescription(undefined), tokenizer.tokenize);
    expect(template).toMatchObject({ origin: 'plain', whyUnusable: undefined, keepsSystem: true });
    const { ids } = await template.openSession([system('S'), user('A')]);
    const { ids: later } = await nextSegment(template, [], [user('B')]);
    expect(tokenizer.text(ids)).toBe('S\n\nUser: A\nAssistant:');
    expect(tokenizer.text(later)).toBe('\nUser: B\nAssistant:');
  });
});

describe('a template that prints the date', () => {
  const { source, ...style } = APPENDABLE_STYLES.llama3WithDate;

  async function dated(clock?: { now(): number }) {
    const tokenizer = byteTokenizer(style.controls);
    const template = await compileChatTemplate(templateDescription(source, style), tokenizer.tokenize, clock);
    const open = async () => tokenizer.text((await template.openSession([user('A')])).ids);
    return { template, tokenizer, open };
  }

  test('prints the day on which a session opens', async () => {
    let now = JANUARY_31;
    const { open } = await dated({ now: () => now });
    expect(await open()).toMatch(/Today: 31 Jan 2026/);
    now += 86_400_000;
    expect(await open()).toMatch(/Today: 01 Feb 2026/);
    expect(await open()).toMatch(/Today: 01 Feb 2026/);
  });

  test('can be appended to while the clock runs', async () => {
    let now = JANUARY_31;
    const seconds = source.replace("'%d %b %Y'", "'%H:%M:%S'");
    const clock = { now: () => (now += 1000) };
    const tokenizer = byteTokenizer(style.controls);
    const template = await compileChatTemplate(templateDescription(seconds, style), tokenizer.tokenize, clock);
    expect(template.whyUnusable).toBeUndefined();
    await template.openSession([user('A')]);
    const { ids } = await nextSegment(template, [], [user('B')]);
    expect(tokenizer.text(ids)).not.toMatch(/Today/);
  });

  test('does without when there is no clock', async () => {
    expect(await (await dated()).open()).toMatch(/Today: unknown/);
  });
});

describe('raw mode', () => {
  const source = `{%- for m in messages -%}
{{ '<|im_start|>' + m.role + '\\n' + m.content.split('</think>')[-1] + '<|im_end|>\\n' }}
{%- endfor -%}`;

  test('shows a template the reasoning marks of replies and of nothing else', async () => {
    const tokenizer = byteTokenizer([...APPENDABLE_STYLES.chatml.controls, '</think>']);
    const template = await compileChatTemplate(templateDescription(source), tokenizer.tokenize);
    const said = 'a</think>b';
    const ids = await template.renderWhole([user(said), assistant(said), user(said)]);
    const block = (role: string, content: string) => `<|im_start|>${role}\n${content}<|im_end|>\n`;
    expect(tokenizer.text(ids)).toBe(block('user', said) + block('assistant', 'b') + block('user', said));
    expect(ids).not.toContain(tokenizer.control('</think>'));
  });

  test('renders a reply that is nothing but reasoning', async () => {
    const tokenizer = byteTokenizer(APPENDABLE_STYLES.chatml.controls);
    const template = await compileChatTemplate(templateDescription(source), tokenizer.tokenize);
    const ids = await template.renderWhole([user('A'), assistant('<think>hm</think>'), user('B')]);
    expect(tokenizer.text(ids)).toContain('<|im_start|>assistant\n<|im_end|>');
  });
});

describe('a template that contains the characters used as marks', () => {
  test('is rendered as any other', async () => {
    const tokenizer = byteTokenizer(APPENDABLE_STYLES.chatml.controls);
    const style = { ...APPENDABLE_STYLES.chatml, source: `\ue0000\ue000\ue001${CHATML}` };
    const template = await compileChatTemplate(templateDescription(style.source), tokenizer.tokenize);
    expect(template.whyUnusable).toBeUndefined();
    const { ids } = await template.openSession([user('\ue0020\ue002')]);
    expect(tokenizer.text(ids)).toBe(written(style, [user('\ue0020\ue002')]));
  });
});

describe('a tokenizer that fails', () => {
  test('fails the call and is asked again by the next', async () => {
    const tokenizer = byteTokenizer(APPENDABLE_STYLES.chatml.controls);
    let down = false;
    const template = await compileChatTemplate(templateDescription(CHATML), async (text, options) => {
      if (down) throw new DiscedgeError('llm_unavailable', 'down');
      return tokenizer.tokenize(text, options);
    });
    const uses = [
      () => template.openSession([user('A')]),
      () => nextSegment(template, [], [user('A')]),
      () => template.renderWhole([user('A')]),
    ];
    down = true;
    for (const use of uses) await expect(use()).rejects.toMatchObject({ code: 'llm_unavailable' });
    down = false;
    for (const use of uses) await expect(use()).resolves.toBeDefined();
  });

  test('fails the compilation', async () => {
    const failing = async () => {
      throw new DiscedgeError('llm_unavailable', 'down');
    };
    await expect(compileChatTemplate(templateDescription(CHATML), failing)).rejects.toMatchObject({
      code: 'llm_unavailable',
    });
  });
});

describe('kept shapes', () => {
  test('that are used stay, whatever else comes and goes', async () => {
    const { template } = await chatml();
    const user: TextMessage = { role: 'user', content: 'x' };
    await template.openSession([user]);
    const runs = vi.spyOn(JinjaTemplate.prototype, 'render');
    for (let length = 2; length <= 70; length++) {
      await template.openSession(Array.from({ length }, () => user));
      runs.mockClear();
      await template.openSession([user]);
      expect(runs).not.toHaveBeenCalled();
    }
    runs.mockRestore();
  });

  test('are the latest of any number of role sequences', async () => {
    const { template, tokenizer } = await chatml();
    const opening = (length: number): TextMessage[] =>
      Array.from({ length }, (_, index) => ({ role: (index % 2 === 0 ? 'user' : 'assistant') as Role, content: 'x' }));
    for (let length = 1; length <= 70; length++) {
      const { ids } = await template.openSession(opening(length));
      expect(tokenizer.text(ids)).toBe(written(APPENDABLE_STYLES.chatml, opening(length)));
    }
    const runs = vi.spyOn(JinjaTemplate.prototype, 'render');
    await template.openSession(opening(70));
    expect(runs).not.toHaveBeenCalled();
    await template.openSession(opening(1));
    expect(runs).toHaveBeenCalled();
    runs.mockRestore();
  });
});
