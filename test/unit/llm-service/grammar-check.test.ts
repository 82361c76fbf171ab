// Tries to get past the check with grammars that end the process, that sample for hours, or that llama.cpp complains
// about on stderr (the list and mutations of real grammars go to llama.cpp itself in a child process in
// test/integration/embedded-grammar.test.ts), and to have it refuse grammars that people use.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkGrammar, GRAMMAR_BYTES_MAX, OPTIONAL_ROW_MAX } from '../../../src/llm-service/grammar/grammar-check.ts';
import { NESTING_MAX, REPETITIONS_MAX } from '../../../src/llm-service/grammar/grammar-syntax.ts';
import { MALFORMED_GRAMMARS } from '../../support/malformed-grammars.ts';

const refusal = (message = /./) =>
  expect.objectContaining({
    code: 'invalid_request',
    param: 'grammar',
    message: expect.stringMatching(message),
  });

function outcome(grammar: string): unknown {
  try {
    checkGrammar(grammar);
    return 'usable';
  } catch (error) {
    return error;
  }
}

describe('a usable grammar', () => {
  const folder = new URL('../../../node_modules/node-llama-cpp/llama/grammars/', import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith('.gbnf'));
  test.each(files)("is llama.cpp's example %s", (name) => {
    expect(outcome(readFileSync(new URL(name, folder), 'utf8'))).toBe('usable');
  });

  test.each([
    'root ::= "🤖🚗é" [ab]',
    'root ::=\n  "a" # why\n  ',
    'root ::= a | \nb\r\na ::= ""\rb ::= .',
    'root ::= ( "a"\n | "b"\n)*\n',
    'root ::= "\\x41\\u00e9\\U0001F916\\n\\t\\r\\\\\\"" [\\]\\[\\-^a-]',
    'root ::= [^a-z]{2} "x"{1,} "y"{0,3} "z"{ 1 , 2 }',
    'root ::= <[12]> !<[3]>',
    'root ::= "a"??',
    'root ::= "(" root ")" | "x"',
    `root ::= ${Array.from({ length: 500 }, (_, i) => `"choice ${i}"`).join(' | ')}`,
    `root ::= ${'"a"? '.repeat(OPTIONAL_ROW_MAX)}`,
    `root ::= ${'"a"? "," '.repeat(300)}`,
    `root ::= ${'('.repeat(NESTING_MAX)}"a"${')'.repeat(NESTING_MAX)}`,
    `root ::= "a"{${REPETITIONS_MAX}}`,
  ])('is %j', (grammar) => {
    expect(outcome(grammar)).toBe('usable');
  });
});

test.each(MALFORMED_GRAMMARS)('%j is refused', (grammar) => {
  expect(outcome(grammar)).toEqual(refusal());
});

test('a refusal repeats nothing of the grammar', () => {
  expect(String(outcome('root ::= my-secret-patient-name'))).not.toMatch(/secret/);
  expect(String(outcome('root ::= "my-secret-patient-name'))).not.toMatch(/secret/);
});

describe('a grammar that llama.cpp does not survive is refused:', () => {
  const doubling = (last: string) =>
    Array.from({ length: 30 }, (_, i) => `a${i} ::= ${last.replaceAll('@', `a${i + 1}`)}`);
  test.each<[string, string, RegExp]>([
    ['more bytes than there may be', `root ::= "${'é'.repeat(GRAMMAR_BYTES_MAX / 2)}"`, /bytes/],
    ['deep parentheses', `root ::= ${'('.repeat(7000)}"a"${')'.repeat(7000)}`, /nested/],
    ['optional items in a row', `root ::= ${'"a"? '.repeat(OPTIONAL_ROW_MAX + 1)}`, /in a row/],
    ['the same behind something', `root ::= "b" ${'"a"? '.repeat(OPTIONAL_ROW_MAX + 1)}`, /in a row/],
    ['the same by way of rules', `root ::= ${'r '.repeat(6)}\nr ::= "a"? "b"* "c"{0,2}`, /in a row/],
    ['the same by way of alternatives', `root ::= ${'r '.repeat(20)}\nr ::= "a" |`, /in a row/],
    ['rules that double', `root ::= a0\n${doubling('@ "x" | @ "y"').join('\n')}\na30 ::= "z"`, /ways/],
    ['a maximum below the minimum', 'root ::= "a"{2,1}', /maximum/],
    ['many repetitions', 'root ::= "a"{1,1000000}', /repetition/],
    ['repetitions of repetitions', 'root ::= (("a"{0,100}){0,100}){0,100}', /repetition|row/],
    ['a long text many times', `root ::= "${'a'.repeat(500)}"{900}`, /items/],
    ['a rule that begins with itself', 'root ::= root "a" | "b"', /itself/],
    ['the same behind what can be left out', 'root ::= a root\na ::= b\nb ::= "x"?', /itself/],
    ['an endless repetition of what can be empty', 'root ::= (a)*\na ::= b\nb ::= "x"?', /itself/],
  ])('%s', (_, grammar, message) => {
    expect(outcome(grammar)).toEqual(refusal(message));
  });
});
