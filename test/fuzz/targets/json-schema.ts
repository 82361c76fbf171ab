import { DiscedgeError } from '../../../src/domain/errors.ts';
import { grammarProblem } from '../../../src/llm-service/grammar/grammar-check.ts';
import { schemaGrammar } from '../../../src/llm-service/grammar/json-schema/schema-grammar.ts';
import { type OpenTarget, refusedOr } from '../fuzz-target.ts';

const SCHEMAS = [
  {
    type: 'object',
    properties: {
      a: { type: 'string', minLength: 1, maxLength: 9 },
      b: { type: 'integer', minimum: -5, maximum: 120 },
    },
    required: ['a'],
    additionalProperties: { type: 'null' },
  },
  { type: 'array', items: { enum: [1, 'x', null, { a: [] }] }, minItems: 1, maxItems: 4 },
  { anyOf: [{ const: 1 }, { $ref: '#/$defs/x' }], $defs: { x: { type: ['string', 'number'], format: 'date-time' } } },
  { allOf: [{ properties: { a: {} } }, { required: ['a'] }], oneOf: [{ type: 'object' }] },
  { prefixItems: [{ type: 'boolean' }], items: false, pattern: '^[a-z]{2,4}$', type: 'array' },
];

/** JSON Schemas of requests: each becomes a grammar that llama.cpp survives, or is refused. */
export const open: OpenTarget = () => ({
  seeds: SCHEMAS.map((schema) => JSON.stringify(schema)),
  isJson: true,
  words: [
    ...[
      'type',
      'properties',
      'required',
      'items',
      'prefixItems',
      'minItems',
      'maxItems',
      'minLength',
      'maxLength',
      'pattern',
    ],
    ...[
      'minimum',
      'maximum',
      'exclusiveMinimum',
      'enum',
      'const',
      '$ref',
      '#',
      '#/$defs/x',
      'anyOf',
      'oneOf',
      'allOf',
      'format',
    ],
    ...[
      'additionalProperties',
      'string',
      'integer',
      'number',
      'object',
      'array',
      'null',
      'boolean',
      'uuid',
      'date',
      '^a+$',
      '^(a|b)*[^c]$',
    ],
  ],
  check(input) {
    let schema: unknown;
    try {
      schema = JSON.parse(input.toString());
    } catch {
      return;
    }
    const grammar = refusedOr(() => schemaGrammar(schema), DiscedgeError);
    const problem = grammar === undefined ? undefined : grammarProblem(grammar);
    if (problem !== undefined) throw new Error(problem);
  },
});
