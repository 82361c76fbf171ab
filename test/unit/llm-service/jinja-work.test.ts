// Templates that never end, print without end, or make more than fits in memory, a few characters long each. Tries to have one
// of them rendered, and to have one refused that a model could have.
import { describe, expect, it } from 'vitest';
import { JinjaError, JinjaTemplate } from '../../../src/llm-service/jinja/template.ts';

const grown = (step: string, times: number) =>
  `{% set ns = namespace(v=['x'], s='xx') %}{% for i in range(${times}) %}${step}{% endfor %}`;
const nested = '{% for a in range(3000) %}'.repeat(3);

const WITHOUT_END: Readonly<Record<string, string>> = {
  'loops in loops': `${nested}${'{% endfor %}'.repeat(3)}`,
  'text in loops': `{% for a in range(90000) %}${'long '.repeat(100)}{% endfor %}`,
  'a macro that calls itself twice':
    '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}',
  'a text that doubles': grown('{% set ns.s = ns.s ~ ns.s %}', 60),
  'a text that doubles by +': grown('{% set ns.s = ns.s + ns.s %}', 60),
  'a text that a filter doubles': grown("{% set ns.s = ns.s|replace('x', 'xx') %}", 40),
  'a list that doubles': grown('{% set ns.v = ns.v + ns.v %}', 60),
  'a long list': '{% set l = [1] * 10**9 %}',
  'a long tuple': '{% set l = (1, 2) * 10**9 %}',
  'a long text': "{{ 'x' * 10**8 }}",
  'a text longer than any': "{{ 'x' * 10**12 }}",
  'a text of many parts': "{% set s = ('x ' * 5000000).split(' ') %}",
  'a batch that is filled': '{% set q = [1]|batch(10**9, 0)|list %}',
  'many slices': '{% set q = [1]|slice(10**9)|list %}',
  'a wide text': "{{ 'x'|center(10**9) }}",
  'indented lines': `{{ ('a\\n' * 1000)|indent(10**6) }}`,
  'a wide number': "{{ '%1000000000d'|format(1) }}",
  'lists in lists, printed': `${grown('{% set ns.v = [ns.v, ns.v] %}', 60)}{{ ns.v }}`,
  'lists in lists, as JSON': `${grown('{% set ns.v = [ns.v, ns.v] %}', 60)}{{ ns.v|tojson }}`,
  'lists in lists, compared': `{% set w = namespace(v=['x']) %}${grown('{% set ns.v = [ns.v, ns.v] %}{% set w.v = [w.v, w.v] %}', 60)}{{ ns.v == w.v }}`,
  'a long list, sorted again and again': `{% set l = range(99999)|list %}${grown('{% set q = l|sort|list %}', 99999)}`,
  'long texts, compared again and again': `{% set a = 'x' * 2000000 %}{% set b = a ~ 'y' %}${grown('{% set q = a < b %}', 99999)}`,
};

it.each(Object.entries(WITHOUT_END))('%s: is refused', (_name, source) => {
  expect(() => new JinjaTemplate(source).render({ messages: [] })).toThrow(JinjaError);
});

it.each([
  ['parentheses', `{{ ${'('.repeat(100_000)}1${')'.repeat(100_000)} }}`],
  ['lists', `{{ ${'['.repeat(100_000)}${']'.repeat(100_000)} }}`],
  ['blocks', `${'{% if 1 %}'.repeat(50_000)}${'{% endif %}'.repeat(50_000)}`],
])('%s that nest without end: cannot be parsed, and are called that', (_name, source) => {
  expect(() => new JinjaTemplate(source)).toThrow(new JinjaError('nests too deeply'));
});

describe('one rendering after another', () => {
  it('has as much work as the first', () => {
    const template = new JinjaTemplate('{% for a in range(20000) %}{% for b in range(20) %}{% endfor %}{% endfor %}.');
    for (let time = 0; time < 4; time++) expect(template.render({})).toBe('.');
  });

  it('goes on after one that was refused', () => {
    expect(() => new JinjaTemplate(WITHOUT_END['loops in loops'] as string).render({})).toThrow(JinjaError);
    expect(new JinjaTemplate('{{ 1 + 1 }}').render({})).toBe('2');
  });
});

it('a conversation of 20,000 messages is rendered, with a look at its length in every round', () => {
  const messages = Array.from({ length: 20_000 }, (_, at) => ({
    role: at % 2 ? 'assistant' : 'user',
    content: 'mark',
  }));
  const source =
    '{% for m in messages %}{{ m.role ~ m.content }}{% if loop.index == messages|length %}!{% endif %}{% endfor %}';
  expect(new JinjaTemplate(source).render({ messages }).endsWith('mark!')).toBe(true);
});
