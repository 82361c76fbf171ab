// Context layers before conversations of any kind, under templates with the traits of each model family: a region that changes,
// preferences that come and go, a session's own system message or instructions beside them. Tries to find a prompt that is not the
// template's own of one system message with the layers in it, a turn that does not go on from the ids of the one before though
// nothing has changed, a cost that is not what it cost, a context that is another one when it is folded anew, and a record that
// says anything of a layer.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Layer, layerOf } from '../../../src/context-manager/layers/layer.ts';
import { tokenizedPayload } from '../../../src/context-manager/modes/written-turn.ts';
import type { LayerName } from '../../../src/domain/record/layer-stamps.ts';
import type { TextMessage } from '../../../src/domain/record/turn-record.ts';
import { commonPrefixLength, type TokenId } from '../../../src/domain/token-sequence.ts';
import { compileChatTemplate } from '../../../src/llm-service/chat-template.ts';
import type { Vocabulary } from '../../../src/llm-service/llm-service.ts';
import { FAMILIES, type TemplateFamily } from '../../support/chat-templates/families.ts';
import { messageOf, NOW, replyAfter, thinks, writtenBy } from '../../support/chat-templates/replies.ts';
import { type ComposedModel, ComposedSession, composedModel } from '../../support/composed-session.ts';

const RUNS = { numRuns: 12 };
const layer = (name: LayerName, text: string) => layerOf(name, text, (given) => stampOf(given)) as Layer;
const stampOf = (text: string) => Buffer.from(text).toString('hex').padEnd(16, '0').slice(-16);
const DEPLOYMENT = layer('deployment', 'CANARY-deployment: answer politely.');
const REGIONS = [layer('region', 'CANARY-region: Wien, 1.'), layer('region', 'CANARY-region: Linz, 22.')] as const;
const PREFERENCES = [layer('preferences', 'CANARY-user: brief.'), layer('preferences', 'CANARY-user: long, long.')];

const words = fc
  .array(fc.constantFrom('word', 'Ünï', '🤖', '.', ';'), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join(' '));
const layers = fc
  .tuple(fc.boolean(), fc.constantFrom(undefined, ...REGIONS), fc.constantFrom(undefined, ...PREFERENCES))
  .map(([deployed, region, user]) => [
    ...(deployed ? [DEPLOYMENT] : []),
    ...(region ? [region] : []),
    ...(user ? [user] : []),
  ]);

function conversations(family: TemplateFamily) {
  const thought = thinks(family) ? fc.option(words, { nil: undefined }) : fc.constant(undefined);
  const turn = fc.record({
    asks: words,
    reply: fc.record({ answer: words, thought }),
    /** `undefined`: as in the turn before. */
    layers: fc.option(layers, { nil: undefined, freq: 2 }),
  });
  return fc.record({
    system: fc.option(words, { nil: undefined }),
    instructions: fc.option(words, { nil: undefined }),
    turns: fc.array(turn, { minLength: 2, maxLength: 5 }),
  });
}

const user = (content: string): TextMessage => ({ role: 'user', content });
const system = (content: string): TextMessage => ({ role: 'system', content });

/** One system message: the layers, then what is the session's. */
function underLayers(
  messages: readonly TextMessage[],
  { before, instructions }: { readonly before: readonly Layer[]; readonly instructions: string | undefined },
): TextMessage[] {
  const texts = before.map(({ text }) => text);
  const [first, ...others] = messages;
  if (instructions !== undefined) return [system([...texts, instructions].join('\n\n')), ...messages];
  if (first?.role === 'system') return [system([...texts, first.content].join('\n\n')), ...others];
  return texts.length === 0 ? [...messages] : [system(texts.join('\n\n')), ...messages];
}

const movesSystem = ({ name }: TemplateFamily) => name === 'mistral-nemo';

const models = new Map<string, Promise<ComposedModel>>();
const compiled = (family: TemplateFamily) => {
  const model = models.get(family.name) ?? composedModel(family);
  models.set(family.name, model);
  return model;
};

describe.each(FAMILIES.map((family) => [family.name, family] as const))('%s', (_, family) => {
  test('layers are in one system message, cost what a change of them costs, and are in no record', async () => {
    const model = await compiled(family);
    if (!model.template.takesSystem) {
      await expect(new ComposedSession(model).build([user('Hi')], { layers: [DEPLOYMENT] })).rejects.toMatchObject({
        code: 'invalid_request',
      });
      return;
    }
    await fc.assert(
      fc.asyncProperty(conversations(family), async ({ system: own, instructions: asked, turns }) => {
        // Of two system messages not every template takes the second; that is so without layers.
        const instructions = own === undefined ? asked : undefined;
        const [session, plain] = [new ComposedSession(model), new ComposedSession(model)];
        const messages: TextMessage[] = [];
        let before: readonly Layer[] = [];
        let last: readonly TokenId[] = [];
        for (const [index, { asks, reply, layers: given }] of turns.entries()) {
          const had = before;
          before = given ?? before;
          const added = [...(own !== undefined && index === 0 ? [system(own)] : []), user(asks)];
          messages.push(...added);
          const preamble = instructions === undefined ? {} : { preamble: { instructions, tools: [] } };
          const other = session.elsewhere();
          (await other.build([user('evaluated ahead')], index === 0 ? {} : { layers: before })).evaluated();
          const elsewhere = await other.build(added, { ...preamble, layers: before });
          const built = await session.build(added, { ...preamble, layers: before });
          const prompt = model.tokenizer.text(built.ids);
          const whole = underLayers(messages, { before, instructions });
          expect(prompt).toBe(writtenBy(family, whole));
          expect(elsewhere.ids).toEqual(built.ids);

          const kept = commonPrefixLength(last, built.ids);
          const changed = had.map(({ stamp }) => stamp).join() !== before.map(({ stamp }) => stamp).join();
          const told = built.layers?.rewrittenTokens ?? 0;
          if (!changed) expect(built.rewrittenTokens).toBe(last.length - kept);
          if (index > 0 && !changed) expect([told, elsewhere.layers?.rewrittenTokens ?? 0]).toEqual([0, 0]);
          if (index > 0 && changed) expect(elsewhere.layers?.rewrittenTokens).toBeGreaterThanOrEqual(told);
          expect(elsewhere.layers?.parts).toEqual(built.layers?.parts);
          for (const part of built.layers?.parts ?? []) {
            const now = before.find(({ name }) => name === part.name);
            const then = had.find(({ name }) => name === part.name);
            expect(part.changed).toBe(index > 0 && now?.stamp !== then?.stamp);
            expect(part.tokens > 0).toBe(now !== undefined);
          }

          const text = replyAfter(family, whole, reply);
          const unlayered = await plain.build(added, preamble);
          const [turn, reference] = [await built.written(text), await unlayered.written(text)];
          expect(turn.record.payload).toEqual(reference.record.payload);
          expect(turn.record.preamble).toEqual(reference.record.preamble);
          const { promptIds } = tokenizedPayload(turn);
          const others = built.ids.length - kept - promptIds.length;
          // Where the system message stands in the newest turn, a change costs what that has of it.
          if (index > 0 && changed && !movesSystem(family)) expect(told).toBe(others);
          if (index > 0 && changed && movesSystem(family)) expect(told).toBeLessThanOrEqual(others);
          last = [...built.ids, ...(await model.tokenizer.tokenize(text, { parseSpecial: true }))];
          messages.push(messageOf(family, reply));
        }
      }),
      RUNS,
    );
  });

  test('what is new is tokenized once', async () => {
    const model = await compiled(family);
    if (!model.template.takesSystem) return;
    const asked: string[] = [];
    const { description, ...vocabulary } = model.vocabulary;
    const tokenize: Vocabulary['tokenize'] = (text, how) => {
      asked.push(text);
      return model.tokenizer.tokenize(text, how);
    };
    const template = await compileChatTemplate(description, tokenize, { now: () => NOW });
    const session = new ComposedSession({ ...model, template, vocabulary: { ...vocabulary, description, tokenize } });
    const before = [DEPLOYMENT, REGIONS[0], PREFERENCES[0] as Layer];
    const messages: TextMessage[] = [];
    for (let turn = 1; turn <= 3; turn++) {
      const added = [user(`question ${turn}`)];
      messages.push(...added);
      asked.length = 0;
      const built = await session.build(added, { layers: before });
      expect(asked.filter((text) => text.includes('question'))).toHaveLength(1);
      await built.written(replyAfter(family, messages, { answer: `answer ${turn}` }));
      messages.push(messageOf(family, { answer: `answer ${turn}` }));
    }
  });

  test('layers stay when the oldest turns are left out', async () => {
    const model = await compiled(family);
    if (!model.template.takesSystem || !model.template.keepsSystem) return;
    const before = [DEPLOYMENT, REGIONS[0]];
    const session = new ComposedSession(model, { windowTokens: 700, overflow: 'drop-oldest' });
    const messages: TextMessage[] = [];
    let dropped = 0;
    for (let turn = 1; turn <= 14; turn++) {
      const added = [user(`question ${turn} ${'x'.repeat(40)}`)];
      messages.push(...added);
      const elsewhere = await session.elsewhere().build(added, { layers: before });
      const built = await session.build(added, { layers: before });
      expect(elsewhere.ids).toEqual(built.ids);
      const prompt = model.tokenizer.text(built.ids);
      for (const { text } of before) expect(prompt.split(text)).toHaveLength(2);
      dropped = built.contextStart - 1;
      await built.written(replyAfter(family, messages, { answer: `answer ${turn}` }));
      messages.push(messageOf(family, { answer: `answer ${turn}` }));
    }
    expect(dropped).toBeGreaterThan(0);
  });
});
