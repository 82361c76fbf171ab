// The chat template on real tokenizers, as llama.cpp runs them: Qwen2's 151,936 ids, the demo model's 2,048, and a small
// SentencePiece one. Tries to find ordinary text whose pieces give other ids than the whole text, a message whose
// control-token look-alikes become control tokens, and a turn among fifty that changes the ids before it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TextMessage } from '../../src/domain/record/turn-record.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../../src/domain/token-sequence.ts';
import { type ChatTemplate, compileChatTemplate } from '../../src/llm-service/chat-template.ts';
import { qwen2VocabularyFile } from '../../tools/qwen2-vocabulary.ts';
import { loadVocabulary, type Vocabulary } from '../../tools/vocabulary.ts';
import { APPENDABLE_STYLES, type AppendableStyle, CHANGING_STYLES } from '../support/chat-template-styles.ts';
import { expectedReply, JANUARY_31, nextSegment, written } from '../support/compiled-style.ts';
import { writeSentencePieceVocabulary } from '../support/sentencepiece-vocabulary.ts';

const CONTROLS = ['<|im_start|>', '<|im_end|>', '<|endoftext|>'];
const clock = { now: () => JANUARY_31 };
const user = (content: string): TextMessage => ({ role: 'user', content });

/** Sentences of ordinary writing: no white space at the ends, nothing that looks like a control token. */
const sentences = fc
  .array(
    fc.constantFrom(
      'What is EKF SLAM?',
      'It costs 3.14 €, about 50 %.',
      "I'll say it's fine",
      'def f(x):\n    return {"a": [x ** 2]}',
      '漢字かな交じり文と한국어',
      'Größe, naïve, русский',
      '🤖🚗 beep',
      '- one\n- two\n\n\nthree',
      '(in brackets)',
      '1,234,567',
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((parts) => parts.join(' '));

const hostile = fc
  .array(
    fc.oneof(sentences, fc.constantFrom(...CONTROLS, '<|im_start|>system\n', ' ', '\n\n', '<|im', '_end|>', '\0')),
    {
      maxLength: 5,
    },
  )
  .map((parts) => parts.join(''));

describe.each([
  ['Qwen2', qwen2VocabularyFile],
  ['demo', async () => fileURLToPath(new URL('../../models/demo/demo.gguf', import.meta.url))],
])('on the %s vocabulary, with the template of its file', (_, file) => {
  let vocabulary: Vocabulary;
  let template: ChatTemplate;
  let end: TokenId;
  let style: { source: string; bosText: string; eosText: string };

  beforeAll(async () => {
    vocabulary = await loadVocabulary(await file());
    const { description, tokenize } = vocabulary;
    template = await compileChatTemplate(description, tokenize, clock);
    end = (await tokenize('<|im_end|>', { parseSpecial: true }))[0] as TokenId;
    style = { source: description.chatTemplate as string, bosText: description.bosText, eosText: description.eosText };
  });
  afterAll(() => vocabulary.close());

  const opening = (content: fc.Arbitrary<string>): fc.Arbitrary<TextMessage[]> =>
    fc
      .tuple(fc.option(content, { nil: undefined }), content)
      .map(([system, first]) => [
        ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
        user(first),
      ]);
  const turns = (content: fc.Arbitrary<string>, count: { minLength?: number; maxLength: number }) =>
    fc.array(fc.record({ reply: content, next: content }), count);

  test('turns can be appended, and a system message stands alone', () => {
    expect(template).toMatchObject({ origin: 'model', whyUnusable: undefined, keepsSystem: true });
  });

  test('the pieces of ordinary text give the ids of the whole text', async () => {
    await fc.assert(
      fc.asyncProperty(opening(sentences), turns(sentences, { maxLength: 3 }), async (messages, following) => {
        const conversation = [...messages];
        const ids = [...(await template.openSession(conversation)).ids];
        for (const { reply, next } of following) {
          const replyIds = [...(await vocabulary.tokenize(reply, { parseSpecial: false })), end];
          ids.push(...replyIds, ...(await nextSegment(template, replyIds, [user(next)])).ids);
          conversation.push({ role: 'assistant', content: reply }, user(next));
        }
        expect(ids).toEqual(await vocabulary.tokenize(written(style, conversation), { parseSpecial: true }));
        expect(await template.renderWhole(conversation)).toEqual(ids);
      }),
      { numRuns: 100 },
    );
  });

  test('control-token text in messages adds no control ids, and spans hold it to the letter', async () => {
    const controlIds = vocabulary.controlIds(CONTROLS);
    const controlsOf = (ids: TokenSequence) => ids.filter((id) => controlIds.has(id));
    expect(controlIds.size).toBe(CONTROLS.length);
    await fc.assert(
      fc.asyncProperty(opening(hostile), hostile, async (messages, next) => {
        const first = await template.openSession(messages);
        const later = await nextSegment(template, [end], [user(next)]);
        const calm = await template.openSession(messages.map((message) => ({ ...message, content: 'x' })));
        const calmLater = await nextSegment(template, [end], [user('x')]);
        expect(controlsOf(first.ids)).toEqual(controlsOf(calm.ids));
        expect(controlsOf(later.ids)).toEqual(controlsOf(calmLater.ids));
        for (const [segment, given] of [
          [first, messages],
          [later, [user(next)]],
        ] as const) {
          const texts = segment.spans.map(({ start, length }) =>
            vocabulary.text(segment.ids.slice(start, start + length)),
          );
          expect(texts).toEqual(given.map((message) => message.content));
        }
        const whole = await template.renderWhole([...messages, { role: 'assistant', content: next }, user(next)]);
        expect(controlsOf(whole)).toEqual(controlsOf([...calm.ids, end, ...calmLater.ids]));
      }),
      { numRuns: 200 },
    );
  });

  test('fifty ordinary turns: every prompt is the whole text so far and begins with the prompt and reply before it', async () => {
    const fifty = turns(sentences, { minLength: 49, maxLength: 49 });
    await fc.assert(
      fc.asyncProperty(opening(sentences), fifty, async (messages, following) => {
        const conversation = [...messages];
        const prompt = [...(await template.openSession(conversation)).ids];
        for (const { reply, next } of following) {
          const replyIds = [...(await vocabulary.tokenize(reply, { parseSpecial: false })), end];
          appendTokens(prompt, replyIds);
          appendTokens(prompt, (await nextSegment(template, replyIds, [user(next)])).ids);
          conversation.push({ role: 'assistant', content: reply }, user(next));
          expect(prompt).toEqual(await vocabulary.tokenize(written(style, conversation), { parseSpecial: true }));
        }
      }),
      { numRuns: 5 },
    );
  });

  test('fifty hostile turns, replies cut or not: no segment changes once given, and every message is ended once', async () => {
    const fifty = turns(hostile, { minLength: 49, maxLength: 49 });
    const cuts = fc.array(fc.boolean(), { minLength: 49, maxLength: 49 });
    const ends = (ids: TokenSequence) => ids.filter((id) => id === end).length;
    await fc.assert(
      fc.asyncProperty(opening(hostile), fifty, cuts, async (messages, following, cut) => {
        const segments = [await template.openSession(messages)];
        const copies = structuredClone(segments);
        let ended = ends(segments[0]?.ids ?? []);
        const opened = ended;
        for (const [turn, { reply, next }] of following.entries()) {
          const replyIds = await vocabulary.tokenize(reply, { parseSpecial: false });
          if (cut[turn] === true) replyIds.push(end);
          const segment = await nextSegment(template, replyIds, [user(next)]);
          segments.push(segment);
          copies.push(structuredClone(segment));
          ended += ends(replyIds) + ends(segment.ids);
        }
        expect(segments).toEqual(copies);
        expect(ended).toBe(opened + 2 * following.length);
      }),
      { numRuns: 10 },
    );
  });
});

describe('on the Qwen2 vocabulary', () => {
  test('templates that change earlier turns are found out', async () => {
    const vocabulary = await loadVocabulary(await qwen2VocabularyFile());
    for (const { source, classes } of Object.values(CHANGING_STYLES)) {
      const description = { ...vocabulary.description, chatTemplate: source };
      const template = await compileChatTemplate(description, vocabulary.tokenize, clock);
      expect(Object.fromEntries(template.classes.map((found) => [found.trait, found.class]))).toMatchObject(classes);
    }
    await vocabulary.close();
  });
});

describe('on a SentencePiece vocabulary', () => {
  const words = [
    'Hello',
    'What',
    'is',
    'SLAM',
    'Mapping',
    'while',
    'moving',
    'user',
    'assistant',
    'system',
    'INST',
    'Be',
    'brief',
  ];
  const ordinary = fc
    .array(fc.constantFrom(...words, 'x-ray?', '(so)'), { minLength: 1, maxLength: 5 })
    .map((some) => some.join(' '));
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'discedge-vocabulary-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test.each(['llama2', 'mistral', 'zephyr', 'phi', 'gemma', 'chatml'] satisfies AppendableStyle[])(
    'the pieces of ordinary text give the ids of the whole text under the %s style',
    async (name) => {
      const style = APPENDABLE_STYLES[name];
      const path = join(folder, `${name}.gguf`);
      await writeSentencePieceVocabulary(path, { controls: style.controls, words });
      const vocabulary = await loadVocabulary(path);
      const special = { parseSpecial: true };
      const [end] = (await vocabulary.tokenize(style.end, special)) as [TokenId];
      const description = {
        ...vocabulary.description,
        ...style,
        chatTemplate: style.source,
        endOfGeneration: new Set([end]),
        prependBos: undefined,
      };
      const template = await compileChatTemplate(description, vocabulary.tokenize, clock);
      await fc.assert(
        fc.asyncProperty(ordinary, ordinary, ordinary, async (first, reply, next) => {
          const one = [user(first)];
          const two: TextMessage[] = [...one, { role: 'assistant', content: reply }, user(next)];
          const { ids } = await template.openSession(one);
          const whole = await vocabulary.tokenize(written(style, two), special);
          expect(ids).toEqual(await vocabulary.tokenize(written(style, one), special));
          expect(whole.slice(0, ids.length)).toEqual(ids);
          const replyIds = whole.slice(ids.length, whole.indexOf(end, ids.length) + 1);
          expect(vocabulary.text(replyIds).trim()).toBe(expectedReply(style, one, reply).trim());
          const later = await nextSegment(template, replyIds, [user(next)]);
          expect([...ids, ...replyIds, ...later.ids]).toEqual(whole);
          expect(await template.renderWhole(two)).toEqual(whole);
        }),
        { numRuns: 50 },
      );
      await vocabulary.close();
    },
  );
});
