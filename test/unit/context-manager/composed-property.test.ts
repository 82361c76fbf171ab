// Any conversation at all, under templates with the traits of each model family: messages that are empty, spell control tokens,
// tags or Jinja, replies with and without reasoning, some of them cut or stopped. Tries to find a context that is another one
// when it is folded anew, a prompt that is not the template's own where the contents are harmless, and a content that acts as template text.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TextMessage } from '../../../src/domain/record/turn-record.ts';
import { FAMILIES, type TemplateFamily } from '../../support/chat-templates/families.ts';
import { messageOf, type Reply, replyAfter, thinks, writtenBy } from '../../support/chat-templates/replies.ts';
import { ComposedSession, composedModel } from '../../support/composed-session.ts';

const RUNS = { numRuns: 12 };
const MARKS = [
  '\ue000',
  '\ue0000\ue000',
  '{{ bos_token }}',
  '{% raw %}',
  '</think>',
  '<think>',
  '$&',
  '\u0000',
  '/no_think',
];

const calm = fc
  .array(fc.constantFrom('word', 'Ünï', '🤖', '.', ';'), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join(' '));
const hostile = ({ controls }: TemplateFamily) =>
  fc
    .array(fc.oneof(fc.constantFrom(' ', '\n', 'x'), fc.constantFrom(...controls, ...MARKS)), { maxLength: 5 })
    .map((parts) => parts.join(''));

interface Turn {
  readonly asks: string;
  readonly reply: Reply;
  readonly end: 'end' | 'limit' | 'word';
}

function turns(family: TemplateFamily, content: fc.Arbitrary<string>, ends: readonly Turn['end'][]) {
  const thought = thinks(family) ? fc.option(calm, { nil: undefined }) : fc.constant(undefined);
  return fc.array(
    fc.record({
      asks: content,
      reply: fc.record({ answer: calm, thought }),
      end: fc.constantFrom(...ends),
    }),
    { minLength: 1, maxLength: 6 },
  );
}

const user = (content: string): TextMessage => ({ role: 'user', content });

describe.each(FAMILIES.map((family) => [family.name, family] as const))('%s', (_, family) => {
  test('calm conversations are what the template writes', async () => {
    const model = await composedModel(family);
    await fc.assert(
      fc.asyncProperty(turns(family, calm, ['end', 'end', 'limit', 'word']), async (conversation) => {
        const session = new ComposedSession(model);
        const messages: TextMessage[] = [];
        for (const { asks, reply, end } of conversation) {
          messages.push(user(asks));
          const elsewhere = await session.elsewhere().build(messages.slice(-1));
          const built = await session.build(messages.slice(-1));
          expect(model.tokenizer.text(built.ids)).toBe(writtenBy(family, messages));
          expect(elsewhere.ids).toEqual(built.ids);
          const whole = replyAfter(family, messages, reply);
          const upToAnswer = whole.slice(0, whole.lastIndexOf(reply.answer) + reply.answer.length);
          if (end === 'end') await built.written(whole);
          if (end === 'limit') await built.written(upToAnswer, { kind: 'limit' });
          if (end === 'word') await built.written(`${upToAnswer}STOP`, { kind: 'word', word: 'STOP' });
          messages.push(messageOf(family, reply));
        }
      }),
      RUNS,
    );
  });

  test('hostile contents stay contents, and every node composes the same', async () => {
    const model = await composedModel(family);
    const controlsOf = (ids: readonly number[]) => ids.filter((id) => model.tokenizer.isControl(id as never));
    await fc.assert(
      fc.asyncProperty(turns(family, hostile(family), ['end', 'limit']), async (conversation) => {
        const [session, harmless] = [new ComposedSession(model), new ComposedSession(model)];
        const messages: TextMessage[] = [];
        for (const { asks, reply, end } of conversation) {
          messages.push(user('x'));
          const elsewhere = await session.elsewhere().build([user(asks)]);
          const built = await session.build([user(asks)]);
          const other = await harmless.build([user('x')]);
          expect(elsewhere.ids).toEqual(built.ids);
          expect(controlsOf(built.ids)).toEqual(controlsOf(other.ids));
          const whole = replyAfter(family, messages, reply);
          const stop = end === 'end' ? ({ kind: 'end' } as const) : ({ kind: 'limit' } as const);
          const text = end === 'end' ? whole : whole.slice(0, whole.lastIndexOf(reply.answer));
          await built.written(text, stop);
          await other.written(text, stop);
          messages.push(messageOf(family, reply));
        }
      }),
      RUNS,
    );
  });
});
