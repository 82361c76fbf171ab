// Tries to make a JSON Schema into a grammar that allows what the schema forbids, that forbids what its author meant, that
// llama.cpp would not survive, or that silently leaves a keyword out. What a grammar allows is drawn from it at random and
// held against the schema by a validator that is not ours; integers are held against counting.
import fc from 'fast-check';
import Schema from 'typebox/schema';
import { describe, expect, test } from 'vitest';
import { grammarProblem } from '../../../src/llm-service/grammar/grammar-check.ts';
import { integerRange } from '../../../src/llm-service/grammar/json-schema/integer-range.ts';
import { schemaGrammar } from '../../../src/llm-service/grammar/json-schema/schema-grammar.ts';
import { Chance } from '../../../tools/chance.ts';
import { Gbnf } from '../../support/gbnf.ts';

const refusal = (schema: unknown) => {
  try {
    schemaGrammar(schema);
  } catch (error) {
    const { code, param, message } = error as { code: string; param: string; message: string };
    return { code, param, message };
  }
  return undefined;
};

const person = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0 }, email: { type: ['string', 'null'] } },
  required: ['name'],
};
const list = {
  $ref: '#/$defs/node',
  $defs: {
    node: {
      type: 'object',
      properties: { value: { type: 'number' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
      required: ['value', 'next'],
    },
  },
};

/** Schemas, what they allow and their grammar has to, and what neither may. */
const CASES: Readonly<Record<string, { schema: object; yes: readonly unknown[]; no: readonly unknown[] }>> = {
  'an object of named properties': {
    schema: person,
    yes: [{ name: 'a' }, { name: 'a', age: 3 }, { name: 'é"\\\n', age: 0, email: null }, { name: '', email: 'x' }],
    no: [
      {},
      { age: 3 },
      { name: 1 },
      { name: 'a', age: -1 },
      { name: 'a', age: 1.5 },
      [],
      'name',
      { name: 'a', email: 1 },
    ],
  },
  'optional properties alone': {
    schema: { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'boolean' }, c: { type: 'null' } } },
    yes: [{}, { a: 1 }, { b: true }, { c: null }, { a: -10, c: null }, { a: 1, b: false, c: null }],
    no: [{ a: 'x' }, { b: 0 }, [1]],
  },
  'further properties of a type': {
    schema: { type: 'object', properties: { ab: { type: 'string' } }, additionalProperties: { type: 'integer' } },
    yes: [{}, { ab: 'x' }, { a: 1 }, { b: 2, abc: 3 }, { ab: 'x', '': 0 }],
    no: [{ ab: 1 }, { a: 'x' }, { ab: 'x', b: 'y' }],
  },
  'a map': {
    schema: { additionalProperties: { type: 'boolean' } },
    yes: [{}, { x: true, y: false }],
    no: [{ x: 1 }, []],
  },
  'a required property that is not described': {
    schema: { type: 'object', required: ['x'] },
    yes: [{ x: 1 }, { x: { y: [] } }],
    no: [{}],
  },
  'an array': {
    schema: { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 3 },
    yes: [[true], [true, false, true]],
    no: [[], [1], [true, true, true, true], {}],
  },
  'an array of any length': { schema: { type: 'array', items: { type: 'null' } }, yes: [[], [null, null]], no: [[1]] },
  'an empty array': { schema: { type: 'array', maxItems: 0 }, yes: [[]], no: [[1]] },
  'a tuple': {
    schema: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }], items: false },
    yes: [['a', 1]],
    no: [
      [1, 'a'],
      ['a', 1, 2],
    ],
  },
  'a tuple and more': {
    schema: { type: 'array', prefixItems: [{ type: 'string' }], items: { type: 'integer' }, minItems: 2 },
    yes: [
      ['a', 1],
      ['a', 1, 2, 3],
    ],
    no: [['a'], ['a', 'b']],
  },
  'a text of some length': {
    schema: { type: 'string', minLength: 2, maxLength: 4 },
    yes: ['ab', 'é🦑', 'a"b\\'],
    no: ['a', 'abcde', 12],
  },
  'a date and a time': {
    schema: {
      type: 'array',
      prefixItems: [
        { format: 'date', type: 'string' },
        { format: 'date-time', type: 'string' },
        { format: 'uuid', type: 'string' },
      ],
    },
    yes: [['2026-11-28', '2026-11-28T09:00:00Z', '01234567-89ab-cdef-0123-456789abcdef']],
    no: [
      ['2026-13-01', '2026-11-28T09:00:00Z', '01234567-89ab-cdef-0123-456789abcdef'],
      ['x', 'y', 'z'],
    ],
  },
  'values that are named': {
    schema: { enum: ['x', 1, null, { a: [] }] },
    yes: ['x', 1, null, { a: [] }],
    no: ['y', 2],
  },
  'values of a type': { schema: { type: 'string', enum: ['a"b', 1] }, yes: ['a"b'], no: [1] },
  'one value': { schema: { const: { a: 'b' } }, yes: [{ a: 'b' }], no: [{ a: 'c' }] },
  'one of several': { schema: { anyOf: [person, { type: 'integer' }] }, yes: [{ name: 'a' }, 7], no: ['a', {}] },
  'a type beside several': {
    schema: {
      type: 'object',
      properties: { k: { const: 1 } },
      required: ['k'],
      oneOf: [
        { properties: { a: { type: 'null' } }, required: ['a'] },
        { required: ['b'], properties: { b: { type: 'null' } } },
      ],
    },
    yes: [
      { k: 1, a: null },
      { k: 1, b: null },
    ],
    no: [{ k: 1 }, { a: null }],
  },
  'all of several': {
    schema: { allOf: [person, { properties: { age: { maximum: 9 }, more: { type: 'null' } }, required: ['age'] }] },
    yes: [
      { name: 'a', age: 9 },
      { name: 'a', age: 1, more: null },
    ],
    no: [{ name: 'a' }, { name: 'a', age: 10 }],
  },
  'a schema that refers to itself': {
    schema: list,
    yes: [
      { value: 1.5, next: null },
      { value: -1, next: { value: 1e3, next: null } },
    ],
    no: [{ value: 1 }, { value: 1, next: {} }],
  },
  'a reference with something beside it': {
    schema: {
      properties: { p: { $ref: '#/$defs/p', description: 'who', default: {} } },
      required: ['p'],
      $defs: { p: person },
    },
    yes: [{ p: { name: 'a' } }],
    no: [{ p: {} }],
  },
  numbers: { schema: { type: 'number', minimum: 0 }, yes: [0, 1.25, 1e21], no: [-1, 'x'] },
  'anything inside': {
    schema: { properties: { a: {}, b: true }, required: ['a', 'b'] },
    yes: [{ a: [1], b: { c: 'd' } }],
    no: [{ a: 1 }],
  },
  'an object, where nothing is said': { schema: {}, yes: [{}, { a: [1, 'b', null] }], no: [1] },
};

describe('a grammar of a JSON Schema', () => {
  test.each(Object.entries(CASES))('%s', (_name, { schema, yes, no }) => {
    const text = schemaGrammar(schema);
    expect(grammarProblem(text)).toBeUndefined();
    const grammar = new Gbnf(text);
    for (const value of yes) expect(grammar.matches(JSON.stringify(value)), JSON.stringify(value)).toBe(true);
    for (const value of no) expect(grammar.matches(JSON.stringify(value)), JSON.stringify(value)).toBe(false);
    for (const value of yes.filter((value) => typeof value === 'object')) {
      if (text.includes('space'))
        expect(grammar.matches(JSON.stringify(value).replace(/^([[{])/, '$1\n  '))).toBe(true);
    }
    const chance = new Chance(1);
    const validator = Schema.Compile(schema as never);
    for (let i = 0; i < 200; i++) {
      const drawn = grammar.draw(chance);
      expect(validator.Check(JSON.parse(drawn)), drawn).toBe(true);
    }
  });

  test('leaves no name of its own to other properties, however it is spelled', () => {
    const names = ['a', 'ab', 'b"c', 'd\\e', 'f-g', '[h]', '^i', 'é'];
    const properties = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
    const grammar = new Gbnf(schemaGrammar({ properties, additionalProperties: { type: 'null' } }));
    for (const name of names) {
      expect(grammar.matches(JSON.stringify({ [name]: null })), name).toBe(false);
      expect(grammar.matches(JSON.stringify({ [`${name}x`]: null })), name).toBe(true);
    }
  });

  test('an integer is within its bounds, and any that is can be written', () => {
    const bound = fc.oneof(fc.integer({ min: -1200, max: 1200 }), fc.constantFrom(-Infinity, Infinity));
    fc.assert(
      fc.property(bound, bound, (a, b) => {
        const range = integerRange(a, b);
        const inside = (value: number) => value >= a && value <= b;
        if (range === undefined) return a > b;
        const grammar = new Gbnf(`root ::= ${range}`);
        const candidates = [...Array(2500).keys()]
          .map((i) => i - 1250)
          .filter((i) => i % 7 === 0 || Math.abs(i - a) < 3 || Math.abs(i - b) < 3);
        return (
          candidates.every((value) => grammar.matches(String(value)) === inside(value)) &&
          !grammar.matches('-0') &&
          !grammar.matches('007')
        );
      }),
      { numRuns: 60 },
    );
    expect(integerRange(5, 4)).toBeUndefined();
    expect(new Gbnf(`root ::= ${integerRange(100, 1e300)}`).matches('9999999999999999')).toBe(true);
  });

  test.each([
    ['no schema', 'x', /schema is an object/],
    ['nothing allowed', false, /allows nothing/],
    ['an unknown type', { type: 'strang' }, /#: type names/],
    ['an empty enum', { enum: [] }, /enum allows nothing/],
    ['an enum of other types', { type: 'string', enum: [1] }, /enum allows nothing/],
    ['a reference to nothing', { $ref: '#/nowhere' }, /points to nothing/],
    ['a reference elsewhere', { $ref: 'https://example.com/x' }, /only point into the same schema/],
    ['a reference to itself alone', { $ref: '#' }, /cannot be used: a rule begins with itself|places/],
    ['a pattern', { properties: { a: { type: 'string', pattern: '^a$' } } }, /#\/properties\/a: .*pattern/],
    ['not', { not: { type: 'string' } }, /cannot express not/],
    ['unique items', { type: 'array', uniqueItems: true }, /uniqueItems/],
    ['a number between', { type: 'number', maximum: 2.5 }, /minimum 0 and no other/],
    ['no integer between', { type: 'integer', minimum: 3, maximum: 2 }, /no integer/],
    ['too many items', { type: 'array', minItems: 5, maxItems: 2 }, /below minItems/],
    ['bounds that are none', { type: 'string', maxLength: 'x' }, /maxLength is a whole number/],
    ['a length beyond repetition', { type: 'string', maxLength: 100_000 }, /cannot be used: .*repetition/],
    ['two constants', { allOf: [{ const: 1 }, { const: 2 }] }, /said twice/],
    ['required and forbidden', { required: ['x'], additionalProperties: false }, /requires a property that it forbids/],
    ['more than a grammar may have', { enum: Array.from({ length: 5000 }, (_, i) => `value ${i}`) }, /bytes|items/],
  ])('%s is refused with the place and the reason', (_name, schema, reason) => {
    expect(refusal(schema)).toMatchObject({
      code: 'invalid_request',
      param: 'json_schema',
      message: expect.stringMatching(reason),
    });
  });

  test('a schema that doubles at each reference is given up early', () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        `d${i}`,
        { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
      ]),
    );
    expect(refusal({ $ref: '#/$defs/d0', $defs: { ...$defs, d40: { type: 'null' } } })).toMatchObject({
      code: 'invalid_request',
    });
  });

  test('keywords that say nothing of what is valid are no trouble', () => {
    const schema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      title: 'T',
      description: 'd',
      examples: [1],
      'x-own': 1,
      type: 'null',
      uniqueItems: false,
    };
    expect(refusal(schema)).toBeUndefined();
  });
});
