// What templates get of Jinja, construct by construct, held against Python's Jinja2 as transformers sets it up: the same
// text, and a failure where that fails. The expectations are recorded in a file; where Python has Jinja2, the record
// itself is compared with it, and `-u` writes it anew.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { strftime } from '../../../src/llm-service/chat-template/strftime.ts';
import { JinjaError, JinjaTemplate } from '../../../src/llm-service/jinja/template.ts';
import { CONSTRUCTS, VARIABLES } from '../../support/jinja/constructs.ts';
import { pythonHasJinja, renderInPython } from '../../support/jinja/python-reference.ts';

const RECORD = fileURLToPath(new URL('../../support/jinja/constructs.json', import.meta.url));
const NOW = Date.UTC(2026, 0, 5, 7, 8, 9);
const TEMPLATES = Object.values(CONSTRUCTS).flat();

test.runIf(pythonHasJinja)("the record is what Python's Jinja2 renders", async () => {
  const texts = renderInPython(TEMPLATES.map((template) => ({ template, variables: VARIABLES, now: NOW })));
  const record = Object.fromEntries(TEMPLATES.map((template, index) => [template, texts[index]]));
  await expect(`${JSON.stringify(record, undefined, 2)}\n`).toMatchFileSnapshot(RECORD);
});

describe.each(Object.entries(CONSTRUCTS))('%s', (_, templates) => {
  const record = JSON.parse(readFileSync(RECORD, 'utf8')) as Record<string, string | null>;

  test.each(templates)('%s', (template) => {
    expect(rendered(template)).toBe(record[template]);
  });
});

function rendered(source: string): string | null {
  try {
    return new JinjaTemplate(source).render(VARIABLES, {
      raise_exception: (reason) => {
        throw new JinjaError(String(reason));
      },
      strftime_now: (format) => strftime(NOW, String(format)),
    });
  } catch (error) {
    if (error instanceof JinjaError) return null;
    throw error;
  }
}
