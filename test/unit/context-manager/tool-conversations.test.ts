// Conversations with calls of tools and their results, under templates with the traits of each model family that tells of tools: every
// prompt is what the template writes of the whole conversation, here and at a node that has only the records, and what the model wrote is
// taken apart into the same parts while it comes, when it is whole and when it is read again.
import { describe, expect, test } from 'vitest';
import { KnownCalls } from '../../../src/context-manager/modes/known-calls.ts';
import { saidMessages } from '../../../src/context-manager/modes/said-messages.ts';
import type { PartDelta } from '../../../src/context-manager/turn/reply/reply-parts.ts';
import type { ContentPart } from '../../../src/domain/record/message-content.ts';
import type { ToolDefinition } from '../../../src/domain/record/preamble.ts';
import type { Message } from '../../../src/domain/record/turn-record.ts';
import { commonPrefixLength } from '../../../src/domain/token-sequence.ts';
import { FAMILIES, type TemplateFamily } from '../../support/chat-templates/families.ts';
import { replyAfter, writtenBy } from '../../support/chat-templates/replies.ts';
import { ComposedSession, composedModel, type WrittenTurn } from '../../support/composed-session.ts';

const TOOLS: readonly ToolDefinition[] = [
  {
    name: 'weather',
    description: 'Tells the weather.',
    parameters: { type: 'object', properties: { city: { type: 'string', description: 'Which.' } }, required: ['city'] },
  },
  { name: 'time', parameters: { type: 'object', properties: { zone: { type: 'string' } } } },
];
const PREAMBLE = { instructions: undefined, tools: TOOLS };
const VARIABLE = TOOLS.map(({ name, description, parameters }) => ({
  type: 'function',
  function: { name, ...(description !== undefined && { description }), parameters },
}));

interface Called {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string>>;
}
const PARIS: Called = { name: 'weather', arguments: { city: 'the "old" Zurq' } };
const ZONE: Called = { name: 'time', arguments: { zone: 'CETq' } };

const THOUGHT = '<think>\nHm.\n</think>\n\n';
const inTemplate = (calls: readonly Called[], content = '') => ({
  role: 'assistant',
  content,
  tool_calls: calls.map(({ name, arguments: given }, place) => ({
    id: `call0000${place}`,
    type: 'function',
    function: { name, arguments: given },
  })),
});
const resultInTemplate = ({ name }: Called, place: number, content: string) => ({
  role: 'tool',
  name,
  tool_call_id: `call0000${place}`,
  content,
});
const partsOfCalls = (calls: readonly Called[], { parts }: WrittenTurn): ContentPart[] =>
  calls.map(({ name, arguments: given }, index) => {
    const part = parts.filter(({ type }) => type !== 'thinking')[index];
    if (part?.type !== 'tool-call') throw new Error('no call');
    expect(JSON.parse(part.arguments)).toEqual(given);
    return { ...part, name };
  });
const result = (part: ContentPart | undefined, output: string): Message => {
  if (part?.type !== 'tool-call') throw new Error('no call');
  return { role: 'tool', content: [{ type: 'tool-result', callId: part.callId, isError: false, output }] };
};

function together(deltas: readonly PartDelta[]): ContentPart[] {
  const parts: ContentPart[] = [];
  for (const delta of deltas) {
    const part = parts[delta.index];
    if (delta.type !== 'tool-call') {
      parts[delta.index] = {
        type: delta.type,
        text: (part !== undefined && 'text' in part ? part.text : '') + delta.text,
      };
      continue;
    }
    const { callId, name } = delta;
    const before = part?.type === 'tool-call' ? part.arguments : '';
    parts[delta.index] = { type: 'tool-call', callId, name, arguments: before + delta.arguments };
  }
  return parts;
}

/** What the model writes for these calls: what its template has of them, with the token that ends it. */
function written(family: TemplateFamily, messages: readonly object[], calls: readonly Called[]): string {
  const prompt = writtenBy(family, messages, VARIABLE);
  const following = calls.map((call, place) => resultInTemplate(call, place, '-'));
  const whole = writtenBy(family, [...messages, inTemplate(calls), ...following], VARIABLE);
  const begins = prompt.endsWith('<think>\n');
  const start = prompt.length - (begins ? '<think>\n'.length : 0);
  expect(whole.slice(0, start)).toBe(prompt.slice(0, start));
  const last = whole.lastIndexOf(Object.values((calls.at(-1) as Called).arguments)[0]?.slice(-2) ?? '');
  const end =
    family.name === 'gpt-oss' ? '<|call|>' : (family.ends.find((text) => whole.indexOf(text, last) >= 0) ?? '');
  // A prompt that has begun to think is gone on from.
  const thought = begins ? THOUGHT.slice('<think>\n'.length) : '';
  return thought + whole.slice(start, whole.indexOf(end, last)) + end;
}

const models = await Promise.all(FAMILIES.map(async (family) => ({ family, model: await composedModel(family) })));
const calling = models.filter(({ model }) =>
  model.template.classes.some(({ trait, class: found }) => trait === 'tools' && found !== 'refused'),
);

test('the families that tell of tools', () => {
  expect(calling.map(({ family }) => family.name)).toEqual([
    'command-r7b',
    'glm-4-6',
    'gpt-oss',
    'granite-3-3',
    'hermes-3-tools',
    'llama-3-1',
    'minimax-m2',
    'mistral-nemo',
    'mistral-small',
    'nemotron-nano',
    'qwen2-5',
    'qwen3',
  ]);
});

describe.each(calling.map(({ family, model }) => [family.name, family, model] as const))('%s', (_, family, model) => {
  test('calls, their results and what follows them are what the template writes', async () => {
    const session = new ComposedSession(model);
    const begins = writtenBy(family, [{ role: 'user', content: 'x' }]).endsWith('<think>\n');
    const said: object[] = [];
    const ask = async (messages: readonly Message[], inWords: readonly object[]) => {
      said.push(...inWords);
      const elsewhere = await session.elsewhere().build(messages);
      const built = await session.build(messages, said.length === 1 ? { preamble: PREAMBLE } : {});
      expect(model.tokenizer.text(built.ids)).toBe(writtenBy(family, said, VARIABLE));
      if (said.length > 1) expect(elsewhere.ids).toEqual(built.ids);
      return built;
    };
    const answer = (messages: readonly object[], text: string) => {
      return replyAfter(family, messages, { answer: text, ...(begins && { thought: 'Hm.' }) }, VARIABLE);
    };
    const holds = (turn: WrittenTurn) => {
      expect(together(turn.deltas)).toEqual(turn.parts);
      expect(turn.text.parts).toEqual(turn.parts);
      return turn;
    };
    const user = (content: string) => ({ role: 'user' as const, content });

    const asked = await ask([user('Weather?')], [user('Weather?')]);
    const called = holds(await asked.written(written(family, said, [PARIS])));
    const [paris] = partsOfCalls([PARIS], called);
    said.push(inTemplate([PARIS], begins ? THOUGHT : ''));

    const told = await ask([result(paris, 'Sunny.')], [resultInTemplate(PARIS, 0, 'Sunny.')]);
    const answered = holds(await told.written(answer(said, 'It is sunny.')));
    expect(answered.parts.at(-1)).toMatchObject({ type: 'text', text: expect.stringMatching(/^It is sunny\.\n?$/) });
    expect(answered.text.messages).toEqual([result(paris, 'Sunny.')]);
    said.push({ role: 'assistant', content: `${begins ? THOUGHT : ''}It is sunny.` });

    const again = await ask([user('And the time?')], [user('And the time?')]);
    const second = holds(await again.written(written(family, said, [ZONE])));
    said.push(inTemplate([ZONE], begins ? THOUGHT : ''));
    const last = await ask([result(partsOfCalls([ZONE], second)[0], '12:00')], [resultInTemplate(ZONE, 0, '12:00')]);
    holds(await last.written(answer(said, 'Noon.')));
  });

  test('a reply is taken apart in the same way however it is cut', async () => {
    const session = new ComposedSession(model);
    const built = await session.build([{ role: 'user', content: 'x' }], { preamble: PREAMBLE });
    const text = written(family, [{ role: 'user', content: 'x' }], [PARIS]);
    const whole = await built.written(text);
    expect(whole.parts.at(-1)?.type).toBe('tool-call');
    expect(whole.byId).toEqual(whole.parts);
  });

  test('instructions and tools may be others with every turn', async () => {
    const session = new ComposedSession(model);
    const said: object[] = [];
    let last: readonly number[] = [];
    const preambles = [
      { instructions: 'Be brief.', tools: [] },
      { instructions: 'Be brief.', tools: [] },
      { instructions: 'Be kind.', tools: [] },
      { instructions: undefined, tools: TOOLS },
      { instructions: undefined, tools: TOOLS },
      { instructions: undefined, tools: [] },
    ];
    for (const [index, preamble] of preambles.entries()) {
      const { instructions, tools } = preamble;
      const asked = { role: 'user' as const, content: `Number ${index}?` };
      said.push(asked);
      const elsewhere = await session.elsewhere().build([asked], { preamble });
      const built = await session.build([asked], { preamble });
      const system = instructions === undefined ? [] : [{ role: 'system', content: instructions }];
      const variable = tools.length === 0 ? undefined : VARIABLE;
      expect(model.tokenizer.text(built.ids)).toBe(writtenBy(family, [...system, ...said], variable));
      expect(elsewhere.ids).toEqual(built.ids);
      const kept = commonPrefixLength(last as never, built.ids as never);
      expect(built.rewrittenTokens).toBe(last.length - kept);
      const isSame = index > 0 && JSON.stringify(preambles[index - 1]) === JSON.stringify(preamble);
      const turn = await built.written(
        replyAfter(family, [...system, ...said], { answer: `It is ${index}.` }, variable),
      );
      expect(turn.record.preamble !== undefined).toBe(!isSame);
      expect(turn.text.preamble).toEqual(isSame ? undefined : preamble);
      last = [...built.ids, ...(turn.record.payload.mode === 'tokenized' ? turn.record.payload.replyIds : [])];
      said.push({ role: 'assistant', content: `It is ${index}.` });
    }
  });

  test('turns that were left out leave the newest preamble standing', async () => {
    const session = new ComposedSession(model, { windowTokens: 1_500, overflow: 'drop-oldest' });
    let dropped = 0;
    for (let index = 0; index < 12; index++) {
      const preamble = { instructions: index < 6 ? 'Be brief.' : 'Be kind.', tools: [] };
      const asked = { role: 'user' as const, content: `Number ${index}? ${'x'.repeat(150)}` };
      const elsewhere = await session.elsewhere().build([asked], { preamble });
      const built = await session.build([asked], { preamble });
      expect(elsewhere.ids).toEqual(built.ids);
      const text = model.tokenizer.text(built.ids);
      if (built.contextStart > 1 && model.template.keepsSystem) expect(text).toContain(preamble.instructions);
      expect(text.split('Be ').length).toBeLessThanOrEqual(2);
      dropped = built.contextStart - 1;
      await built.written(`It is ${index}.${family.ends[0] ?? ''}`);
    }
    expect(dropped).toBeGreaterThan(0);
  });

  test('a conversation that a client begins with may have calls and results', async () => {
    const calls = family.name === 'gpt-oss' || family.name === 'llama-3-1' ? [PARIS] : [PARIS, ZONE];
    const user = (content: string) => ({ role: 'user' as const, content });
    const parts = calls.map(({ name, arguments: given }, index) => {
      const json = JSON.stringify(given);
      return { type: 'tool-call' as const, callId: `c${index}`, name, arguments: json };
    });
    const messages: Message[] = [
      user('Weather?'),
      { role: 'assistant', content: parts },
      ...parts.map((part) => result(part, 'Sunny.')),
    ];
    const session = new ComposedSession(model);
    const built = await session.build(messages, { preamble: PREAMBLE });
    const results = calls.map((call, place) => resultInTemplate(call, place, 'Sunny.'));
    const said = [user('Weather?'), inTemplate(calls), ...results];
    expect(model.tokenizer.text(built.ids)).toBe(writtenBy(family, said, VARIABLE));
    expect(await model.template.renderWhole(saidMessages(messages, new KnownCalls()), 'as-template', PREAMBLE)).toEqual(
      built.ids,
    );
    const begins = writtenBy(family, [user('x')]).endsWith('<think>\n');
    const reply = { answer: 'Ok.', ...(begins && { thought: 'Hm.' }) };
    const stored = await built.written(replyAfter(family, said, reply, VARIABLE));
    expect(stored.text.messages).toHaveLength(messages.length);
    const again = stored.text.messages[1]?.content as ContentPart[];
    expect(
      again.map((part) => ({ ...part, arguments: part.type === 'tool-call' && JSON.parse(part.arguments) })),
    ).toEqual(parts.map((part) => ({ ...part, arguments: JSON.parse(part.arguments) })));
    const elsewhere = await session.elsewhere().build([user('And?')]);
    expect((await session.build([user('And?')])).ids).toEqual(elsewhere.ids);
    await expect(
      session.build([result({ type: 'tool-call', callId: 'none', name: 'time', arguments: '{}' }, 'x')]),
    ).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });
});
