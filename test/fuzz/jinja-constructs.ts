import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../support/chat-templates/', import.meta.url);

/** Templates of models, of which pieces are put together. */
export const CONSTRUCTS: readonly string[] = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.jinja'))
  .map((name) => readFileSync(new URL(name, FOLDER), 'utf8'))
  .concat(
    '{% macro f(a, b=1) %}{{ a * b }}{{ caller() }}{% endmacro %}{% call f(2) %}x{% endcall %}',
    '{% set ns = namespace(n=0) %}{% for m in messages recursive %}{% set ns.n = ns.n + 1 %}{{ loop.index0 }}{% endfor %}{{ ns.n }}',
    "{{ messages | map(attribute='role') | join(', ') | upper | replace('U', 'v') | indent(2) }}{{ '%s %5.2f' | format('a', 1.5) }}",
    "{{ [1, 2, 3][::-1] | tojson }}{{ {'a': 1}.items() | list }}{{ 'a b'.split() | length }}{{ 2 ** 3 // 4 % 5 }}{{ x is defined }}",
  );
