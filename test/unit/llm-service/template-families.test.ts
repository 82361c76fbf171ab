// Templates with the traits of model families, each under conversations with and without system message, thinking and
// tools, held against Python's Jinja2 as transformers sets it up. The expectations are recorded in a file; where Python
// has Jinja2, the record itself is compared with it, and `-u` writes it anew.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { strftime } from '../../../src/llm-service/chat-template/strftime.ts';
import { TemplateRefusal } from '../../../src/llm-service/chat-template/template-renderer.ts';
import { compileChatTemplate } from '../../../src/llm-service/chat-template.ts';
import { JinjaError, JinjaTemplate } from '../../../src/llm-service/jinja/template.ts';
import { CONVERSATIONS } from '../../support/chat-templates/conversations.ts';
import { FAMILIES, type TemplateFamily } from '../../support/chat-templates/families.ts';
import { pythonHasJinja, renderInPython } from '../../support/jinja/python-reference.ts';
import { byteTokenizer, templateDescription } from '../../support/toy-tokenizer.ts';

const RECORD = fileURLToPath(new URL('../../support/chat-templates/rendered.json', import.meta.url));
const NOW = Date.UTC(2026, 0, 5, 7, 8, 9);

function variablesOf({ bosText, eosText }: TemplateFamily, conversation: Readonly<Record<string, unknown>>) {
  return { bos_token: bosText, eos_token: eosText, add_generation_prompt: true, ...conversation };
}

test.runIf(pythonHasJinja)("the record is what Python's Jinja2 renders", async () => {
  const cases = FAMILIES.flatMap((family) =>
    Object.entries(CONVERSATIONS).map(([name, conversation]) => ({
      family,
      name,
      variables: variablesOf(family, conversation),
    })),
  );
  const texts = renderInPython(
    cases.map(({ family, variables }) => ({ template: family.source, variables, now: NOW })),
  );
  const record: Record<string, Record<string, string | null>> = {};
  for (const [index, { family, name }] of cases.entries()) {
    record[family.name] = { ...record[family.name], [name]: texts[index] as string | null };
  }
  await expect(`${JSON.stringify(record, undefined, 2)}\n`).toMatchFileSnapshot(RECORD);
});

describe.each(FAMILIES.map((family) => [family.name, family] as const))(
  'a template like that of %s',
  (name, family) => {
    const record = (JSON.parse(readFileSync(RECORD, 'utf8')) as Record<string, Record<string, string | null>>)[name];
    const template = new JinjaTemplate(family.source);

    test.each(Object.entries(CONVERSATIONS))('%s', (conversation, variables) => {
      expect(rendered(template, variablesOf(family, variables))).toBe(record?.[conversation]);
    });

    test('prints the control tokens that it is said to have', () => {
      const printed = Object.values(record ?? {}).join('');
      expect(family.ends.filter((token) => !printed.includes(token))).toEqual([]);
    });

    test('opens a session with the same text', async () => {
      const tokenizer = byteTokenizer(family.controls);
      const session = await compileChatTemplate(templateDescription(family.source, family), tokenizer.tokenize, {
        now: () => NOW,
      });
      const { ids } = await session.openSession([{ role: 'user', content: ' Hi ' }]);
      expect(tokenizer.text(ids)).toBe(record?.['first turn']);
    });
  },
);

// What a session's class hangs on, said once apart from the record that -u rewrites.
describe('the traits that make earlier ids change', () => {
  const render = (name: string, conversation: string) => {
    const family = FAMILIES.find((candidate) => candidate.name === name) as TemplateFamily;
    const variables = CONVERSATIONS[conversation] as Readonly<Record<string, unknown>>;
    return rendered(new JinjaTemplate(family.source), variablesOf(family, variables)) as string;
  };

  test.each([
    ['deepseek-r1-distill', 'three turns', '<think>\n'],
    ['minimax-m2', 'three turns', '<think>\n'],
    ['nemotron-nano', 'three turns', '<think>\n'],
    ['nemotron-nano', 'switched off by a word', '<think></think>'],
    ['qwen3', 'thinking switched off', '<think>\n\n</think>\n\n'],
    ['smollm3', 'thinking switched off', '<think>\n\n</think>\n'],
    ['glm-4-6', 'thinking switched off', '\n<think></think>'],
    ['gemma-4', 'three turns', '<|channel>thought\n<channel|>'],
  ])('%s, %s: a prompt end that history does not have', (name, conversation, end) => {
    const prompt = render(name, conversation);
    expect(prompt.endsWith(end)).toBe(true);
    expect(prompt.slice(0, -end.length)).not.toContain(name === 'glm-4-6' ? 'Two.\n<think></think>' : end);
  });

  test.each([
    ['qwen3', 0],
    ['deepseek-r1-distill', 0],
    ['glm-4-6', 0],
    ['minimax-m2', 0],
    ['nemotron-nano', 0],
    ['lfm2-5', 1],
    ['smollm3', 2],
    ['llama-3-1', 2],
    ['qwen2-5', 2],
  ])('%s: of two past replies %d keep their thinking', (name, kept) => {
    expect(render(name, 'thinking in two replies').split('One').length - 1).toBe(kept);
  });

  test('a system message that stands in the last user message, or in the first', () => {
    const brief = /\[INST\] Be brief\. \n\nGo on\[\/INST\]$/;
    expect(render('mistral-nemo', 'three turns under a system message')).toMatch(brief);
    expect(render('gemma-3', 'three turns under a system message')).toMatch(
      /^<bos><start_of_turn>user\n Be brief\. \n\nHi</,
    );
  });

  test('a reply that ends otherwise once it is past', () => {
    expect(render('gpt-oss', 'answered')).toMatch(/<\|return\|>$/);
    expect(render('gpt-oss', 'three turns')).not.toContain('<|return|>');
  });
});

function rendered(template: JinjaTemplate, variables: Readonly<Record<string, unknown>>): string | null {
  try {
    return template.render(variables, {
      raise_exception: (reason) => {
        throw new TemplateRefusal(String(reason));
      },
      strftime_now: (format) => strftime(NOW, String(format)),
    });
  } catch (error) {
    if (error instanceof JinjaError || error instanceof TemplateRefusal) return null;
    throw error;
  }
}
