/**
 * Tries to name models so that it is not clear which is meant: a name twice, two lists at once, settings of one model where
 * there are several, entries with slips, a key that finds its way into a message.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ConfigSources, loadConfig } from '../../../src/config/config.ts';
import type { DiscedgeError } from '../../../src/domain/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'discedge-models-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NAME_RULE = 'must be at most 256 bytes of UTF-8 without control characters';

let files = 0;
function fileWith(text: string): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, text);
  return path;
}

const models = (sources: ConfigSources) => loadConfig({ env: {}, ...sources }).models;

function problems(sources: ConfigSources): string[] {
  try {
    models(sources);
  } catch (error) {
    expect((error as DiscedgeError).code).toBe('config_invalid');
    return (error as DiscedgeError).message.split('\n');
  }
  return [];
}

describe('named by flags and variables', () => {
  it('one after the other, with names or without, the first the default', () => {
    expect(models({ flags: { model: ['small=a.gguf', './b=c.gguf', 'hf:o/r:f.gguf'] } })).toMatchObject([
      { name: 'small', source: { kind: 'embedded', model: 'a.gguf' } },
      { name: undefined, source: { kind: 'embedded', model: './b=c.gguf' } },
      { name: undefined, source: { kind: 'embedded', model: 'hf:o/r:f.gguf' } },
    ]);
  });

  it('servers as well; an address is not taken for a name', () => {
    expect(
      models({ flags: { llm: ['big=http://127.0.0.1:8080/', 'http://127.0.0.1:8082/a=b', 't=scripted'] } }),
    ).toMatchObject([
      { name: 'big', source: { kind: 'inference-server', url: 'http://127.0.0.1:8080' } },
      { name: undefined, source: { kind: 'inference-server', url: 'http://127.0.0.1:8082/a=b' } },
      { name: 't', source: { kind: 'scripted' } },
    ]);
  });

  it('a variable has them with commas, a file as a list', () => {
    const byFlags = models({ flags: { model: ['a=demo', 'b=demo'] } });
    expect(models({ env: { DISCEDGE_MODEL: 'a=demo,b=demo' } })).toEqual(byFlags);
    expect(models({ file: fileWith('model: [a=demo, b=demo]') })).toEqual(byFlags);
  });

  it('settings of the node are those of every model', () => {
    const flags = { model: ['a=demo', 'b=demo'], contextTokens: 512, parallel: 2, mode: 'raw' };
    expect(models({ flags })).toMatchObject([
      { contextTokens: 512, parallel: 2, mode: 'raw' },
      { contextTokens: 512, parallel: 2, mode: 'raw' },
    ]);
  });

  it.each([
    [{ model: ['a=demo', 'a=x.gguf'] }, "--model names two models a: a name is one model's"],
    [{ model: ['a=demo', 'b=demo'], modelName: 'c' }, "--model-name is one model's, and 2 are given: write NAME=MODEL"],
    [{ model: 'a=demo', modelName: 'c' }, '--model-name names a model that has a name already, a'],
    [
      { model: Array.from({ length: 17 }, (_, i) => `m${i}=demo`) },
      '--model names 17 models, and a node serves at most 16',
    ],
    [{ llm: ['a=scripted', 'b=ftp://x'] }, '--llm must be http://HOST:PORT of a llama-server or a vLLM, or scripted'],
    [{ llm: [`${'n'.repeat(257)}=scripted`] }, `--llm has a NAME that ${NAME_RULE}`],
    [{ model: ['a\nb=demo', 'c=demo'] }, `--model has a NAME that ${NAME_RULE}`],
    [{ modelName: '模'.repeat(86) }, `--model-name ${NAME_RULE}`],
    [{ modelName: '\ud800' }, `--model-name ${NAME_RULE}`],
    [{ model: ['demo', ' '] }, '--model must be text, not " "'],
    [{ model: [] }, '--model must not be empty'],
  ])('%j', (flags, problem) => {
    expect(problems({ flags })).toEqual([problem]);
  });

  it('one key is not sent to several servers', () => {
    const flags = { llm: ['http://127.0.0.1:1', 'http://127.0.0.1:2'], llmApiKey: fileWith('hunter2') };
    const found = problems({ flags });
    expect(found).toEqual([expect.stringMatching(/^--llm-api-key-file is one model's, and 2 are given/)]);
    expect(found.join()).not.toContain('hunter2');
  });
});

describe('listed in the configuration file', () => {
  it('each has its own settings, and the rest of the node', () => {
    const key = fileWith('hunter2\n');
    const file = fileWith(`
parallel: 3
models:
  - name: small
    model: demo
    context-tokens: 512
    parallel: 2
    mode: raw
  - llm: http://127.0.0.1:8080
    llm-api-key-file: ${key}
    chat-template-file: /etc/chatml.jinja
`);
    expect(models({ file })).toEqual([
      {
        source: { kind: 'embedded', model: 'demo' },
        name: 'small',
        contextTokens: 512,
        parallel: 2,
        mode: 'raw',
        chatTemplateFile: undefined,
        llmTokenizer: 'server',
      },
      {
        source: { kind: 'inference-server', url: 'http://127.0.0.1:8080', apiKey: 'hunter2', program: 'auto' },
        name: undefined,
        contextTokens: undefined,
        parallel: 3,
        mode: 'tokenized',
        chatTemplateFile: '/etc/chatml.jinja',
        llmTokenizer: 'server',
      },
    ]);
  });

  it.each([
    ['models:\n  small: demo', 'models (in FILE) must be a list of models, such as "- model: demo"'],
    ['models: []', 'models (in FILE) must be a list of models, such as "- model: demo"'],
    ['models: [demo]', 'model 1 of models (in FILE) must be settings, one "name: value" a line'],
    ['models:\n  - name: a', 'model 1 of models (in FILE) must have either model or llm'],
    ['models:\n  - {model: demo, llm: scripted}', 'model 1 of models (in FILE) must have either model or llm'],
    [
      'models:\n  - {model: demo, paralell: 2}',
      'model 1 of models (in FILE): unknown setting "paralell": did you mean "parallel"?',
    ],
    ['models:\n  - {model: demo, threads: 2}', 'model 1 of models (in FILE): unknown setting "threads"'],
    [
      'models:\n  - {model: demo, parallel: 0}',
      'model 1 of models (in FILE): parallel must be a whole number of turns from 1 to 64, not 0',
    ],
    [
      'models:\n  - {model: demo, mode:}',
      'model 1 of models (in FILE): mode has no value; leave the line out for the default',
    ],
    ['models:\n  - {model: [a, b]}', 'model 1 of models (in FILE): model must be text, not a list or mapping'],
    [
      'models:\n  - {llm: scripted, llm-api-key-file: KEY}',
      'model 1 of models (in FILE): llm-api-key-file is for a server',
    ],
    [
      'models:\n  - {model: demo, context-tokens: 128}',
      'model 1 of models (in FILE): context-tokens (128) must be at least prefill-chunk-tokens (256)',
    ],
    ['models:\n  - {name: "a\\0b", llm: scripted}', `model 1 of models (in FILE): name ${NAME_RULE}`],
    [
      'models:\n  - {name: a, model: demo}\n  - {name: a, llm: scripted}',
      "models (in FILE) names two models a: a name is one model's",
    ],
    [
      'model: demo\nmodels:\n  - {model: demo}',
      'model (in FILE) excludes models (in FILE), whose entries say what each model is',
    ],
    ['modells:\n  - {model: demo}', 'FILE: unknown setting "modells": did you mean "models"?'],
  ])('%s', (text, problem) => {
    const file = fileWith(text.replace('KEY', fileWith('hunter2')));
    expect(problems({ file })).toEqual([problem.replaceAll('FILE', file)]);
  });

  it('and a flag that names another is refused, not preferred', () => {
    const file = fileWith('models:\n  - {model: demo}');
    expect(problems({ file, flags: { llm: 'scripted' } })).toEqual([
      `--llm excludes models (in ${file}), whose entries say what each model is`,
    ]);
  });
});
