// Any contents at all. Tries to make a content act as template text, add a control token, shift a span, leak into the
// next call, or make the ids of an earlier turn depend on a later one, with unicode, control-token look-alikes, marks
// like the ones the product uses inside, and white space at both ends.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TextMessage } from '../../../src/domain/record/turn-record.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import { strip } from '../../../src/llm-service/jinja/text.ts';
import { APPENDABLE_STYLES } from '../../support/chat-template-styles.ts';
import { compiledStyle, expectedReply, nextSegment, STYLE_NAMES, written } from '../../support/compiled-style.ts';

const RUNS = { numRuns: 60 };
const MARKS = ['\ue000', '\ue0000\ue000', '{{ bos_token }}', '{% raw %}', '</think>', '<think>', '$&', '\u0000'];

/** Ordinary text: what Jinja and a tokenizer with special tokens on would read as we do. */
const ordinary = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.constantFrom(...[' ', '\n', '\t', 'word', '\u00a0', '🤖'], ...['\u001c', '\u0085', '\ufeff']),
    ),
    {
      maxLength: 6,
    },
  )
  .map((parts) => parts.join('').replace(/[<>|[\]]/g, ''));

const hostile = (controls: readonly string[]) =>
  fc.array(fc.oneof(ordinary, fc.constantFrom(...controls, ...MARKS)), { maxLength: 6 }).map((parts) => parts.join(''));

describe.each(STYLE_NAMES)('under the %s style', (name) => {
  const { controls, system } = APPENDABLE_STYLES[name];
  const opening = (content: fc.Arbitrary<string>): fc.Arbitrary<TextMessage[]> =>
    fc
      .record({
        system: system === 'refused' ? fc.constant(undefined) : fc.option(content, { nil: undefined }),
        user: content,
      })
      .map((given) => [
        ...(given.system === undefined ? [] : [{ role: 'system' as const, content: given.system }]),
        { role: 'user' as const, content: given.user },
      ]);

  test('ordinary contents give what the template writes, turn by turn', async () => {
    const { style, tokenizer, template } = await compiledStyle(name);
    const turns = fc.array(fc.record({ reply: ordinary, next: ordinary }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(opening(ordinary), turns, async (messages, following) => {
        const ids = [...(await template.openSession(messages)).ids];
        const conversation = [...messages];
        for (const { reply, next } of following) {
          const text = expectedReply(style, conversation, reply);
          const replyIds = await tokenizer.tokenize(text, { parseSpecial: true });
          const message: TextMessage = { role: 'user', content: next };
          ids.push(...replyIds, ...(await nextSegment(template, replyIds, [message])).ids);
          conversation.push({ role: 'assistant', content: reply }, message);
        }
        expect(tokenizer.text(ids)).toBe(written(style, conversation));
        expect(await template.renderWhole(conversation)).toEqual(ids);
        expect((await template.openSession(conversation)).ids).toEqual(ids);
      }),
      RUNS,
    );
  });

  test('hostile contents add no control token and stay where their spans say', async () => {
    const { tokenizer, template } = await compiledStyle(name);
    const trims = name.startsWith('llama') || name === 'gemma';
    const shown = (content: string) => (trims ? strip(content, { start: true, end: true }) : content);
    const controlsOf = (ids: readonly TokenId[]) => ids.filter((id) => tokenizer.isControl(id));
    await fc.assert(
      fc.asyncProperty(opening(hostile(controls)), hostile(controls), async (messages, next) => {
        const harmless = messages.map((message) => ({ ...message, content: 'x' }));
        const user: TextMessage = { role: 'user', content: next };
        const calm: TextMessage = { role: 'user', content: 'x' };
        const first = await template.openSession(messages);
        const later = await nextSegment(template, [], [user]);
        expect(controlsOf(first.ids)).toEqual(controlsOf((await template.openSession(harmless)).ids));
        expect(controlsOf(later.ids)).toEqual(controlsOf((await nextSegment(template, [], [calm])).ids));
        for (const [segment, given] of [
          [first, messages],
          [later, [user]],
        ] as const) {
          const contents = segment.spans.map(({ start, length }) =>
            tokenizer.text(segment.ids.slice(start, start + length)),
          );
          expect(contents).toEqual(given.map((message) => shown(message.content)));
        }
        expect(await template.openSession(messages)).toEqual(first);
        const reply: TextMessage = { role: 'assistant', content: next };
        const whole = await template.renderWhole([...messages, reply, user]);
        const calmWhole = await template.renderWhole([...harmless, { ...reply, content: 'x' }, calm]);
        expect(controlsOf(whole)).toEqual(controlsOf(calmWhole));
      }),
      RUNS,
    );
  });
});
