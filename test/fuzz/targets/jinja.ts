import { JinjaError, JinjaTemplate } from '../../../src/llm-service/jinja/template.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';
import { CONSTRUCTS } from '../jinja-constructs.ts';

const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hello.', tool_calls: [{ function: { name: 'f', arguments: { a: 1 } } }] },
];

/** Chat templates as model files have them: they print, or are refused, and do a bounded amount of work. */
export const open: OpenTarget = () => ({
  seeds: CONSTRUCTS,
  words: [
    ...[
      '{{ ',
      ' }}',
      '{% ',
      ' %}',
      '{%- ',
      ' -%}',
      '{# ',
      ' #}',
      'for m in messages',
      'endfor',
      'if ',
      'elif ',
      'else',
      'endif',
    ],
    ...[
      'set x = ',
      'namespace(a=1)',
      'macro f(a)',
      'endmacro',
      'range(9)',
      '|tojson',
      '|join',
      '|map(',
      '|selectattr(',
      '|length',
    ],
    ...[
      'loop.index',
      'm.role',
      "m['content']",
      ' is defined',
      ' not in ',
      ' and ',
      ' ~ ',
      ' ** ',
      ' // ',
      '[::-1]',
      'break',
      'continue',
    ],
    ...[
      '.split(',
      '.items()',
      '.strip()',
      '|replace(',
      '|indent(',
      '|format(',
      '|batch(',
      '|slice(',
      "strftime_now('%d')",
      'lipsum',
    ],
    ...[
      'raise_exception(',
      'call',
      'filter upper',
      'generation',
      '__class__',
      'self',
      'caller()',
      'recursive',
      '9999999999',
    ],
  ],
  // Work is bounded as a second of it, on a machine of its own.
  cpuMsMax: 4_000,
  memoryBytesMax: 512 * 1024 * 1024,
  check(input) {
    refusedOr(() => new JinjaTemplate(input.toString()).render({ messages, add_generation_prompt: true }), JinjaError);
  },
});
