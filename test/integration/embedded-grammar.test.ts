// Tries to make llama.cpp complain: it does so on stderr with the whole grammar, past every log. A child process gives
// its parser what the check lets through of a list of malformed grammars and of its own example grammars, mutated; what
// it prints is looked at from here, with a control that shows a complaint would be seen.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkGrammar } from '../../src/llm-service/grammar/grammar-check.ts';
import { MALFORMED_GRAMMARS } from '../support/malformed-grammars.ts';

const parser = fileURLToPath(new URL('../support/parse-grammars.mjs', import.meta.url));

async function parseAll(grammars: readonly string[]): Promise<{ refused: string[]; stderr: string }> {
  const child = spawn(process.execPath, [parser]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  child.stdin.end(JSON.stringify(grammars));
  await new Promise((done) => child.on('close', done));
  return { refused: JSON.parse(stdout) as string[], stderr };
}

function isUsable(grammar: string): boolean {
  try {
    checkGrammar(grammar);
    return true;
  } catch {
    return false;
  }
}

function exampleGrammars(): string[] {
  const folder = new URL('../../node_modules/node-llama-cpp/llama/grammars/', import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith('.gbnf'));
  return files.map((name) => readFileSync(new URL(name, folder), 'utf8'));
}

/** Pieces of GBNF where one more or one less is likely to matter. */
const PIECES = [
  ...'"[](){}|*+?.^-\\<>!#\n\r ,:=_09az',
  '::=',
  '{2,1}',
  '{0}',
  '""',
  '[]',
  '\\x4',
  '<[1]>',
  '\0',
  'é',
  '🤖',
  'ws',
  'b',
];

function mutatedGrammars(count: number): string[] {
  const short = ['root ::= "a"? [b-d]* (e | "f"){1,2}\ne ::= <[7]> . "\\n"', 'root ::= e e\ne ::= ("x" | ) "y"+'];
  const mutation = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    cut: fc.integer({ min: 0, max: 3 }),
    piece: fc.oneof(fc.constant(''), fc.constantFrom(...PIECES)),
  });
  const grammar = fc
    .tuple(fc.constantFrom(...short, ...exampleGrammars()), fc.array(mutation, { minLength: 1, maxLength: 4 }))
    .map(([text, mutations]) =>
      mutations.reduce((mutated, { at, cut, piece }) => {
        const index = Math.floor(at * mutated.length);
        return mutated.slice(0, index) + piece + mutated.slice(index + cut);
      }, text),
    );
  return fc.sample(grammar, { numRuns: count, seed: 1 });
}

test('llama.cpp never has anything to complain of', async () => {
  const candidates = [...MALFORMED_GRAMMARS, ...exampleGrammars(), ...mutatedGrammars(20_000)];
  const usable = candidates.filter(isUsable);
  expect(usable.length).toBeGreaterThan(500);
  expect(candidates.length - usable.length).toBeGreaterThan(500);
  expect(await parseAll(usable)).toEqual({ refused: [], stderr: '' });
});

test('its complaint would have been seen', async () => {
  const { refused, stderr } = await parseAll(['root ::= my-secret-name']);
  expect(refused).toHaveLength(1);
  expect(stderr).toContain('my-secret-name');
});
