// Template files as people have them: good ones, several in a file, none in it, and what is no template at all. Tries to have
// one that cannot be read keep the others from being checked, a path get into a table for a document, and a model's ids be
// counted that are not evaluated again.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { define } from '../../../src/cli/commands/template.ts';
import { markdownReport, terminalReport } from '../../../src/cli/template-report.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { checkChatTemplates } from '../../../src/doctor/template-checks.ts';
import { templateReports } from '../../../src/doctor/template-reports.ts';
import { DEMO_MODEL_PATH } from '../../../src/edge-node/models/demo-model.ts';

const family = (name: string) => fileURLToPath(new URL(`../../support/chat-templates/${name}.jinja`, import.meta.url));
const CHATML = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;
const NOW = { nowMs: Date.UTC(2026, 0, 31) };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'discedge-templates-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

describe('a check of templates', () => {
  it('says the class of each trait, its reach and why, and what becomes of the system message', async () => {
    const [qwen, nemo, gemma] = await templateReports(['qwen3', 'mistral-nemo', 'gemma-3'].map(family), {
      ...NOW,
      vocabularyFile: undefined,
    });
    expect(qwen).toMatchObject({ refused: undefined, reasoningEnd: '</think>', keepsSystem: true, ids: undefined });
    expect(qwen?.classes.find(({ trait }) => trait === 'thinking')).toEqual({
      trait: 'thinking',
      class: 'follow',
      reach: 1,
      why: 'it leaves the reasoning out of past replies',
    });
    expect(nemo?.classes.find(({ trait }) => trait === 'system')?.class).toBe('rewrite');
    expect(gemma?.keepsSystem).toBe(false);
  });

  it('counts with a vocabulary what the class promises', async () => {
    const reports = await templateReports(['qwen3', 'lfm2-5', 'mistral-nemo', 'deepseek-r1-distill'].map(family), {
      ...NOW,
      vocabularyFile: DEMO_MODEL_PATH,
    });
    for (const { classes, ids } of reports) {
      expect(ids?.endToken).toBeTruthy();
      for (const { trait, class: found, reach } of classes) {
        const counts = ids?.rewritten[trait];
        if (found === 'refused') expect(counts).toBeUndefined();
        else if (found === 'append') expect(counts).toEqual([0, 0, 0, 0, 0, 0]);
        else {
          expect(Math.max(...(counts ?? []))).toBeGreaterThan(0);
          // What a turn adds does not grow, and so neither does what is evaluated again of the last ones.
          // Questions and results take turns where there are tools.
          const kinds = trait === 'tools' ? 2 : 1;
          if (found === 'follow') expect(new Set(counts?.slice(reach)).size).toBeLessThanOrEqual(kinds);
        }
      }
    }
  });

  it('reports a file that is of no use beside the others', async () => {
    const files = [
      join(folder, 'nowhere.jinja'),
      file('tokenizer_config.json', '{"model_max_length": 5}'),
      file('broken.jinja', '{% for m in messages %}{{ m.content }}'),
      file('text.jinja', 'no template'),
      file('good.jinja', CHATML),
    ];
    const reports = await templateReports(files, { ...NOW, vocabularyFile: undefined });
    expect(reports.map(({ refused }) => refused)).toEqual([
      expect.stringContaining('ENOENT'),
      expect.stringContaining('no chat template'),
      expect.stringContaining('cannot be parsed'),
      expect.stringContaining('leaves out user messages'),
      undefined,
    ]);
  });

  it('reports every template of a file under its name', async () => {
    const both = ['default', 'tool_use'].map((name) => ({ name, template: CHATML }));
    const path = file('chat_template.json', JSON.stringify({ chat_template: both }));
    const reports = await templateReports([path], { ...NOW, vocabularyFile: undefined });
    expect(reports.map(({ name }) => name)).toEqual(['default', 'tool_use']);
    expect(terminalReport(reports)).toContain('chat_template.json (tool_use)');
  });

  it('prints for a document what has no path in it and keeps its columns', async () => {
    const files = [file('tokenizer_config.json', JSON.stringify({ chat_template: CHATML })), family('gpt-oss')];
    const table = markdownReport(await templateReports(files, { ...NOW, vocabularyFile: undefined }));
    expect(table).not.toContain(folder);
    expect(table).toContain('| gpt-oss | follow 1 |');
    const columns = table
      .trim()
      .split('\n')
      .map((line) => line.replaceAll('\\|', '').split('|').length);
    expect(new Set(columns).size).toBe(1);
  });

  it('refuses a vocabulary that is none', async () => {
    const checking = templateReports([family('qwen3')], { ...NOW, vocabularyFile: file('v.gguf', 'not a model') });
    await expect(checking).rejects.toThrow('is not a GGUF file');
  });
});

describe('discedge doctor', () => {
  const checked = (settings: Readonly<Record<string, unknown>>) =>
    checkChatTemplates(loadConfig({ flags: settings, env: {} }), NOW.nowMs);

  it('says the class of a template that is in reach, and why', async () => {
    const [own] = await checked({ model: 'demo' });
    expect(own).toMatchObject({
      name: 'chat template',
      outcome: 'ok',
      found: expect.stringMatching(/^plain append, /),
    });
    const [given] = await checked({ llm: 'http://127.0.0.1:9', chatTemplateFile: family('qwen3') });
    expect(given?.found).toContain('thinking follow (it leaves the reasoning out of past replies)');
    const [bad] = await checked({ llm: 'http://127.0.0.1:9', chatTemplateFile: file('bad.jinja', '{% if %}') });
    expect(bad).toMatchObject({ outcome: 'warn', found: expect.stringContaining('cannot be parsed') });
  });

  it('says nothing of one that is not', async () => {
    expect(await checked({ llm: 'http://127.0.0.1:9' })).toEqual([]);
    expect(await checked({ model: 'hf:some/model:file.gguf' })).toEqual([]);
    expect(await checked({ model: join(folder, 'nowhere.gguf') })).toEqual([]);
  });
});

describe('discedge template check', () => {
  it.each([
    ['good', CHATML, undefined],
    ['refused', '{{ 1 / 0 }}', 1],
  ])('%s: exit status', async (_, source, status) => {
    const written = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    try {
      const command = new Command('template');
      define(command);
      await command.parseAsync(['check', file('one.jinja', source), '--json'], { from: 'user' });
      expect(JSON.parse(String(written.mock.calls[0]?.[0]))).toMatchObject({ templates: [{ name: 'default' }] });
      expect(process.exitCode).toBe(status);
    } finally {
      process.exitCode = undefined;
      written.mockRestore();
    }
  });
});
