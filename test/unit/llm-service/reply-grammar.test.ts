// The grammars that replies are held to where strict tools may be called, and where a prompt has begun the model's reasoning, under
// templates with the traits of each family that tells of tools. Tries to have a strict tool called with arguments that its schema
// forbids, in whatever text, and to have an ordinary text or thought forbidden.
import { describe, expect, test } from 'vitest';
import { heldSampling } from '../../../src/context-manager/turn/reply/asked-form.ts';
import { FREE_FORM } from '../../../src/context-manager/turn/reply/reply-form.ts';
import { ReplyReading } from '../../../src/context-manager/turn/reply/reply-reader.ts';
import type { ToolDefinition } from '../../../src/domain/record/preamble.ts';
import { type ChatTemplate, ReplyParser } from '../../../src/llm-service/chat-template.ts';
import { grammarProblem } from '../../../src/llm-service/grammar/grammar-check.ts';
import { textBefore } from '../../../src/llm-service/grammar/text-before.ts';
import { formatGrammar } from '../../../src/llm-service/reply-grammar.ts';
import { Chance } from '../../../tools/chance.ts';
import { FAMILIES } from '../../support/chat-templates/families.ts';
import { composedModel } from '../../support/composed-session.ts';
import { Gbnf } from '../../support/gbnf.ts';

const WEATHER: ToolDefinition = {
  name: 'weather',
  parameters: { type: 'object', properties: { city: { enum: ['Paris', 'Rome'] } }, required: ['city'] },
  strict: true,
};
const NOTE: ToolDefinition = {
  name: 'note',
  parameters: { type: 'object', properties: { text: { type: 'integer' } } },
};
const TOOLS = [WEATHER, NOTE];

const CALLING = (
  await Promise.all(FAMILIES.map(async (family) => ({ ...(await composedModel(family)), ...family })))
).filter(({ template }) => template.calls !== undefined);

async function modelOf({ template, vocabulary }: (typeof CALLING)[number]) {
  const { ids } = await template.openSession([{ role: 'user', content: 'Hi' }]);
  const reading = new ReplyReading(vocabulary, template);
  const { begun } = await reading.reader({ prompt: ids, tools: undefined, newCallId: () => '' });
  return { template, begun };
}

interface Model {
  readonly template: ChatTemplate;
  readonly begun: string | undefined;
}

function callsIn({ template, begun }: Model, reply: string) {
  const parser = new ReplyParser(template.syntax, { isTool: () => true, isThinking: begun !== undefined });
  const calls = new Map<number, { name: string; given: string }>();
  for (const delta of [...parser.push(reply), ...parser.end()]) {
    if (delta.type !== 'tool-call') continue;
    const given = (calls.get(delta.index)?.given ?? '') + delta.arguments;
    calls.set(delta.index, { name: delta.name, given });
  }
  return calls.values();
}

function strictGrammarOf(model: Model, tools = TOOLS, several = true): string {
  const form = { ...FREE_FORM, parallelToolCalls: several };
  const { grammar } = heldSampling({ form, sampling: {} }, { ...model, tools }) as { grammar: string };
  expect(grammarProblem(grammar)).toBeUndefined();
  return grammar;
}

/** A call with one argument. */
function callText({ calls }: ChatTemplate, name: string, key: string, value: string): string {
  if (calls === undefined) throw new Error('no calls');
  const { head, middle, tail, arguments: how } = calls;
  const quoted = JSON.stringify(value);
  const given =
    how.form === 'json'
      ? `{${JSON.stringify(key)}: ${quoted}}`
      : `${how.beforeName}${key}${how.beforeValue}${name === 'note' ? value : quoted}${how.afterValue}`;
  return `${head.trimStart()}${name}${middle}${given}${tail}`;
}

describe.each(CALLING.map((family) => [family.name, family] as const))('strict tools under %s', (_, family) => {
  test('text and thinking are free, a call is one of the tools, and of a strict one as its schema says', async () => {
    const model = await modelOf(family);
    const { template, begun } = model;
    const grammar = new Gbnf(strictGrammarOf(model));
    const opener = template.syntax.calls?.opener as string;
    const lead = begun === undefined ? '' : `a < b, and ${opener} or so${begun}\n`;
    const half = opener.slice(0, -1);
    const call = callText(template, 'weather', 'city', 'Rome');
    for (const text of ['', 'Sun < rain, 1 > 0.\n', `${half}, ${half}`])
      expect(grammar.matches(lead + text)).toBe(true);
    expect(grammar.matches(lead + call)).toBe(true);
    expect(grammar.matches(lead + callText(template, 'note', 'any', 'thing'))).toBe(true);
    if (opener !== '') expect(grammar.matches(`${lead}Let me see. ${half}${call}`)).toBe(true);
    for (const [name, city] of [
      ['weather', 'Oslo'],
      ['time', 'Rome'],
    ] as const) {
      expect(grammar.matches(lead + callText(template, name, 'city', city))).toBe(false);
    }
    expect(grammar.matches(`${lead}${opener === '' ? '{' : opener} and so on`)).toBe(false);
    const { thinking } = template.syntax;
    if (begun !== undefined) expect(grammar.matches(call)).toBe(false);
    else if (thinking !== undefined && thinking.start !== '') {
      expect(grammar.matches(`${thinking.start}${opener} < or${thinking.end}${call}`)).toBe(true);
      expect(grammar.matches(`${thinking.start}x${thinking.end}${opener}{ x`)).toBe(false);
    }
  });

  test('whatever it allows is read as text and calls that hold', async () => {
    const model = await modelOf(family);
    const chance = new Chance(1);
    const opener = model.template.syntax.calls?.opener;
    for (const several of [true, false]) {
      const grammar = strictGrammarOf(model, TOOLS, several);
      const calling = new Gbnf(grammar.replace(/^root ::= .*$/m, 'root ::= calls'));
      const free = new Gbnf(grammar);
      let read = 0;
      for (let drawn = 0; drawn < 200; drawn++) {
        const lead = `${opener === '' || model.begun !== undefined ? '' : 'So: '}${model.begun ?? ''}${opener}`;
        const reply = drawn % 2 === 0 ? free.draw(chance) : lead + calling.draw(chance);
        if (drawn % 8 === 1) expect(free.matches(reply)).toBe(true);
        for (const { name, given } of callsIn(model, reply)) {
          expect(['weather', 'note']).toContain(name);
          if (name === 'weather') expect(['Paris', 'Rome', '"Paris"', '"Rome"']).toContain(JSON.parse(given).city);
          read++;
        }
      }
      expect(read).toBeGreaterThanOrEqual(100);
    }
  });
});

describe('what is no matter of strict tools', () => {
  const model = () => modelOf(CALLING.find(({ name }) => name === 'qwen3') as (typeof CALLING)[number]);
  const held = async (given: object, tools: readonly ToolDefinition[] | undefined, sampling = {}) =>
    heldSampling({ form: { ...FREE_FORM, ...given }, sampling }, { ...(await model()), tools });

  test('tools that are not strict, and strict ones that may not be called, hold nothing', async () => {
    expect(await held({}, [NOTE, { ...WEATHER, strict: false }])).toEqual({});
    expect(await held({ toolChoice: 'none' }, undefined)).toEqual({});
  });

  test('a schema that no grammar can be made of is refused where its tool is strict', async () => {
    const parameters = { type: 'object', properties: { x: { type: 'string', pattern: '(?=x)y' } } };
    const refused = expect.objectContaining({ code: 'invalid_request', param: 'tools' });
    await expect(held({}, [WEATHER, { name: 'x', parameters, strict: true }])).rejects.toEqual(refused);
    expect(await held({}, [WEATHER, { name: 'x', parameters }])).toHaveProperty('grammar');
    const many = Array.from({ length: 128 }, (_, at) => ({ ...WEATHER, name: `${WEATHER.name}${at}` }));
    await expect(held({}, many)).rejects.toEqual(refused);
    const two = expect.objectContaining({ code: 'invalid_request', param: 'grammar' });
    await expect(held({}, [WEATHER], { grammar: 'root ::= "x"' })).rejects.toEqual(two);
  });

  test('calls that cannot be told from text cannot be held', async () => {
    const { template, begun } = await model();
    const untold = { calls: template.calls, syntax: { ...template.syntax, calls: undefined } };
    expect(() =>
      heldSampling({ form: FREE_FORM, sampling: {} }, { template: untold, begun, tools: [WEATHER] }),
    ).toThrow(expect.objectContaining({ code: 'unsupported_parameter', param: 'tools' }));
  });
});

test.each(['minimax-m2', 'nemotron-nano'])(
  'under %s, whose prompts begin the reasoning, a form follows it',
  async (name) => {
    const model = await modelOf(CALLING.find((family) => family.name === name) as (typeof CALLING)[number]);
    const { template, begun } = model;
    const forced = heldSampling(
      { form: { ...FREE_FORM, toolChoice: 'required' }, sampling: {} },
      { ...model, tools: TOOLS },
    );
    const call = callText(template, 'weather', 'city', 'Rome');
    const json = '{"city": "Rome"}';
    for (const [grammar, said] of [
      [forced.grammar as string, call],
      [formatGrammar(WEATHER.parameters as Record<string, unknown>, begun), json],
    ] as const) {
      expect(grammarProblem(grammar)).toBeUndefined();
      const gbnf = new Gbnf(grammar);
      expect(gbnf.matches(`if a < b, </thin or <b>: ${said}\n</think>\n\n${said}`)).toBe(true);
      expect(gbnf.matches(said)).toBe(false);
      expect(gbnf.matches(`so</think>${said}</think>`)).toBe(false);
    }
  },
);

test.each(['aab', 'abab]^-c', '<<tool>', '\\n\n'])('a text goes on up to the first %j', (mark) => {
  const follows = new Gbnf(
    `root ::= text-0\nend ::= "!"\n${textBefore(mark, { name: 'text', next: 'end', mayEnd: true })}`,
  );
  const letters = [...new Set([...mark, 'z'])];
  const chance = new Chance(2);
  for (let tried = 0; tried < 500; tried++) {
    const text = Array.from({ length: chance.below(12) }, () => chance.of(letters)).join('');
    expect(follows.matches(text)).toBe(!text.includes(mark));
    const first = `${text}${mark}`.indexOf(mark) + mark.length;
    expect(follows.matches(`${`${text}${mark}`.slice(0, first)}!`)).toBe(true);
  }
});
