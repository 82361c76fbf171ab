// Conversations under templates with the traits of each model family, composed of exact ids turn by turn as a node does it. Tries
// to find a prompt that is not what the template writes of the same conversation, one that another node composes otherwise from
// the records, and more ids evaluated again than the template's class allows.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { tokenizedPayload } from '../../../src/context-manager/modes/written-turn.ts';
import type { TextMessage } from '../../../src/domain/record/turn-record.ts';
import type { Turn } from '../../../src/domain/session/session-history.ts';
import { FAMILIES, type TemplateFamily } from '../../support/chat-templates/families.ts';
import { messageOf, NOW, replyAfter, thinks, writtenBy } from '../../support/chat-templates/replies.ts';
import { type ComposedModel, ComposedSession, composedModel } from '../../support/composed-session.ts';
import { pythonHasJinja, renderInPython } from '../../support/jinja/python-reference.ts';

const TURNS = 6;
const user = (content: string): TextMessage => ({ role: 'user', content });
const tool = (content: string): TextMessage => ({ role: 'tool', content });
const system: TextMessage = { role: 'system', content: 'Be brief.' };

interface Kind {
  readonly thinking: boolean;
  readonly system: boolean;
  readonly tools: boolean;
}

const KINDS: readonly Kind[] = [false, true].flatMap((thinking) =>
  [false, true].flatMap((opens) => [false, true].map((tools) => ({ thinking, system: opens, tools }))),
);

/** What turn `turn` adds, and the reply to it. */
function turnOf({ thinking, system: opens, tools }: Kind, turn: number) {
  const asked = tools && turn % 3 !== 1 ? tool(`result ${turn}`) : user(`question ${turn}`);
  const added = opens && turn === 1 ? [system, asked] : [asked];
  return { added, reply: { answer: `answer ${turn}`, ...(thinking && { thought: `because ${turn}` }) } };
}

/** The messages that each of the turns is asked with. */
function conversations(family: TemplateFamily, kind: Kind): TextMessage[][] {
  const messages: TextMessage[] = [];
  return Array.from({ length: TURNS }, (_, index) => {
    const { added, reply } = turnOf(kind, index + 1);
    messages.push(...added);
    const asked = messages.slice();
    messages.push(messageOf(family, reply));
    return asked;
  });
}

/** The kinds of conversation that a template neither refuses nor leaves something out of. */
function accepted(family: TemplateFamily): Kind[] {
  return KINDS.filter((kind) => !kind.thinking || thinks(family)).filter((kind) => {
    const messages = conversations(family, kind).at(-1) as TextMessage[];
    try {
      const text = writtenBy(family, messages);
      return messages.every(({ role, content }) => role === 'assistant' || text.includes(content));
    } catch {
      return false;
    }
  });
}

const nameOf = ({ thinking, system: opens, tools }: Kind) =>
  ['turns', thinking && 'thinking', opens && 'system', tools && 'tools'].filter(Boolean).join(' ');

const RECORD = fileURLToPath(new URL('../../support/chat-templates/conversations.json', import.meta.url));

/** Of the six prompts of each conversation, as Python renders them. */
function digestOf(prompts: readonly (string | null)[]): string {
  return createHash('sha256').update(JSON.stringify(prompts)).digest('hex').slice(0, 16);
}

test.runIf(pythonHasJinja)(
  "the record is of what Python's Jinja2 renders",
  async () => {
    const cases = FAMILIES.flatMap((family) => accepted(family).map((kind) => ({ family, kind })));
    const texts = renderInPython(
      cases.flatMap(({ family, kind }) =>
        conversations(family, kind).map((messages) => ({
          template: family.source,
          variables: {
            ...{ messages, add_generation_prompt: true },
            ...{ bos_token: family.bosText, eos_token: family.eosText },
          },
          now: NOW,
        })),
      ),
    );
    const record: Record<string, Record<string, string>> = {};
    for (const [index, { family, kind }] of cases.entries()) {
      const prompts = texts.slice(index * TURNS, (index + 1) * TURNS);
      record[family.name] = { ...record[family.name], [nameOf(kind)]: digestOf(prompts) };
    }
    await expect(`${JSON.stringify(record, undefined, 2)}\n`).toMatchFileSnapshot(RECORD);
  },
  120_000,
);

const models = new Map<string, Promise<ComposedModel>>();

function compiled(family: TemplateFamily): Promise<ComposedModel> {
  const model = models.get(family.name) ?? composedModel(family);
  models.set(family.name, model);
  return model;
}

describe.each(FAMILIES.map((family) => [family.name, family] as const))('%s', (name, family) => {
  const record = (JSON.parse(readFileSync(RECORD, 'utf8')) as Record<string, Record<string, string>>)[name];

  test.each(accepted(family).map((kind) => [nameOf(kind), kind] as const))('%s', async (kindName, kind) => {
    const session = new ComposedSession(await compiled(family));
    const { tokenizer } = session.model;
    const prompts: string[] = [];
    for (const [index, messages] of conversations(family, kind).entries()) {
      const { added, reply } = turnOf(kind, index + 1);
      const elsewhere = await session.elsewhere().build(added);
      (await session.build([user('evaluated ahead')])).evaluated();
      const built = await session.build(added);
      expect(tokenizer.text(built.ids)).toBe(writtenBy(family, messages));
      expect(elsewhere.ids).toEqual(built.ids);
      prompts.push(tokenizer.text(built.ids));
      await built.written(replyAfter(family, messages, reply));
    }
    expect(digestOf(prompts)).toBe(record?.[kindName]);
  });

  const mixed = [true, false, false, true, true, false, true, true].map((thought) => thought && thinks(family));

  test('turns with and without reasoning, and branches of them, read as the template writes them', async () => {
    const session = new ComposedSession(await compiled(family));
    const messages: TextMessage[] = [];
    let main: Turn | undefined;
    for (const [turn, thinking] of mixed.entries()) {
      const base = main;
      const reply = { answer: `a${turn}`, ...(thinking && { thought: `t${turn}` }) };
      for (const branch of turn === 0 ? ['main'] : ['side', 'main']) {
        const asked = [...messages, user(`${branch} ${turn}`)];
        const built = await session.build(asked.slice(-1), { base });
        expect(session.model.tokenizer.text(built.ids)).toBe(writtenBy(family, asked));
        const text = replyAfter(family, asked, branch === 'main' ? reply : { answer: 'x' });
        const written = await built.written(text);
        if (branch === 'main') main = written;
      }
      messages.push(user(`main ${turn}`), messageOf(family, reply));
    }
  });

  test('a reply whose end token its LLM Service has lost keeps its answer', async () => {
    const session = new ComposedSession(await compiled(family));
    const messages = [user('question')];
    const whole = replyAfter(family, messages, { answer: 'answer 1' });
    const text = whole.slice(0, whole.indexOf('answer 1') + 'answer 1'.length);
    await (await session.build(messages)).written(text, { kind: 'end' });
    messages.push(messageOf(family, { answer: 'answer 1' }), user('more'));
    const built = await session.build(messages.slice(-1));
    expect(session.model.tokenizer.text(built.ids)).toBe(writtenBy(family, messages));
  });

  test('evaluates again no more than its class promises', async () => {
    const model = await compiled(family);
    for (const { trait, class: found, reach } of model.template.classes) {
      if (found === 'refused' || found === 'rewrite' || trait === 'tools') continue;
      const kind = { thinking: trait === 'thinking', system: trait === 'system', tools: false };
      const session = new ComposedSession(model);
      const sizes: number[] = [];
      for (const [index, messages] of conversations(family, kind).entries()) {
        const { added, reply } = turnOf(kind, index + 1);
        const built = await session.build(added);
        const newest = sizes.slice(Math.max(0, sizes.length - reach)).reduce((sum, size) => sum + size, 0);
        expect(built.rewrittenTokens).toBeLessThanOrEqual(found === 'append' ? 0 : newest);
        const { promptIds, replyIds } = tokenizedPayload(await built.written(replyAfter(family, messages, reply)));
        sizes.push(promptIds.length + replyIds.length);
      }
    }
  });

  test('what drop-oldest leaves reads as the template writes it', async () => {
    const systems = accepted(family).some((kind) => kind.system) ? [false, true] : [false];
    for (const opens of systems) {
      const model = await compiled(family);
      if (opens && !model.template.keepsSystem) continue;
      const session = new ComposedSession(model, { windowTokens: 900, overflow: 'drop-oldest' });
      const turns: TextMessage[][] = [];
      let dropped = 0;
      for (let turn = 1; turn <= 14; turn++) {
        const thinking = thinks(family) && turn % 3 !== 0;
        const asked = user(`question ${turn} ${'q'.repeat(50)}`);
        const elsewhere = await session.elsewhere().build(turn === 1 && opens ? [system, asked] : [asked]);
        const built = await session.build(turn === 1 && opens ? [system, asked] : [asked]);
        const left = [...(opens ? [system] : []), ...turns.slice(built.contextStart - 1).flat(), asked];
        expect(model.tokenizer.text(built.ids)).toBe(writtenBy(family, left));
        expect(elsewhere.ids).toEqual(built.ids);
        dropped = Math.max(dropped, built.contextStart - 1);
        const reply = { answer: `answer ${turn}`, ...(thinking && { thought: `because ${turn} ${'t'.repeat(50)}` }) };
        await built.written(replyAfter(family, left, reply));
        turns.push([asked, messageOf(family, reply)]);
      }
      expect(dropped).toBeGreaterThan(0);
    }
  });

  test('reasoning is kept or dropped as asked, from turn to turn', async () => {
    if (!thinks(family)) return;
    const session = new ComposedSession(await compiled(family));
    const messages: TextMessage[] = [];
    for (const [index, reasoning] of (
      ['keep', 'drop', 'as-template', 'keep', 'drop', 'as-template'] as const
    ).entries()) {
      messages.push(user(`question ${index}`));
      const elsewhere = await session.elsewhere().build(messages.slice(-1), { reasoning });
      const built = await session.build(messages.slice(-1), { reasoning });
      const prompt = session.model.tokenizer.text(built.ids);
      expect(elsewhere.ids).toEqual(built.ids);
      if (reasoning === 'as-template') expect(prompt).toBe(writtenBy(family, messages));
      for (let past = 0; past < index; past++) {
        expect(prompt).toContain(`answer ${past}`);
        if (reasoning === 'keep') expect(prompt).toContain(`because ${past}`);
        if (reasoning === 'drop') expect(prompt).not.toContain(`because ${past}`);
      }
      const reply = { answer: `answer ${index}`, thought: `because ${index}` };
      await built.written(replyAfter(family, messages, reply));
      messages.push(messageOf(family, reply));
    }
  });
});
