import { grammarProblem } from '../../../src/llm-service/grammar/grammar-check.ts';
import type { OpenTarget } from '../fuzz-target.ts';

/** Grammars of requests, in GBNF, before llama.cpp sees them. */
export const open: OpenTarget = () => ({
  seeds: [
    'root ::= "a" | [a-z0-9]+ ("x" | root2)? \nroot2 ::= [^"\\\\]{1,5} # why\n',
    'root ::= (("a"){2,} .)* "\\x41\\u00e9\\U0001F600\\n"\n',
    'root ::= object\nobject ::= "{" ws (string ":" ws value)? "}"\nvalue ::= object | string\nstring ::= "\\"" [^"]* "\\""\nws ::= [ \\t\\n]*\n',
  ],
  words: [
    ' ::= ',
    '::=',
    '{1,2000}',
    '{0,}',
    '[^',
    ']',
    '(',
    ')',
    '*',
    '+',
    '?',
    '|',
    'root',
    '\\u',
    '\\x',
    '"',
    '\n',
    '# ',
    '.',
  ],
  check(input) {
    grammarProblem(input.toString());
  },
});
