import { DiscedgeError } from '../../domain/errors.ts';
import { GrammarProblem, type GrammarRules, parseGrammar, TERMINAL } from './grammar-syntax.ts';

/** A grammar for a rich JSON Schema has a few KiB; what llama.cpp does with a grammar grows faster than its length. */
export const GRAMMAR_BYTES_MAX = 16 * 1024;

/** Places where a text can be said to stand after one character. llama.cpp keeps them in a list that it searches. */
export const PLACES_MAX = 2_000;

/**
 * Items in a row that may each be left out. llama.cpp tries every choice of them for every token of the vocabulary:
 * n such items and a token of k characters make n over k choices.
 */
export const OPTIONAL_ROW_MAX = 16;

/**
 * Throws `invalid_request` for what is not GBNF, and for what llama.cpp does not survive: its parser prints the grammar
 * on stderr when it refuses one, overflows its stack, or samples for hours in a thread that nothing can stop.
 */
export function checkGrammar(grammar: string): void {
  const problem = grammarProblem(grammar);
  if (problem === undefined) return;
  throw new DiscedgeError('invalid_request', `grammar cannot be used: ${problem}`, { param: 'grammar' });
}

/** What {@link checkGrammar} refuses it for. */
export function grammarProblem(grammar: string): string | undefined {
  try {
    if (Buffer.byteLength(grammar) > GRAMMAR_BYTES_MAX) {
      throw new GrammarProblem(`it has more than ${GRAMMAR_BYTES_MAX} bytes`);
    }
    const { rules, names } = parseGrammar(grammar);
    const root = names.get('root');
    if (root === undefined) throw new GrammarProblem('there is no rule "root"');
    if (rules.some((rule) => rule === undefined)) throw new GrammarProblem('a rule that is named is not defined');
    checkBreadth(rules);
    return undefined;
  } catch (error) {
    if (!(error instanceof GrammarProblem)) throw error;
    return error.message;
  }
}

/** What lies before the next character where a rule, or the rest of a sequence, begins. */
interface Breadth {
  /** Items that the next character can belong to, and rules entered on the way. */
  readonly places: number;
  /** Items in a row that can be left out on the way. */
  readonly row: number;
}

function checkBreadth(rules: GrammarRules): void {
  const canBeEmpty = rulesThatCanBeEmpty(rules);
  const known = new Map<number, Breadth>();
  const entered = new Set<number>();

  const ofRule = (rule: number): Breadth => {
    const before = known.get(rule);
    if (before !== undefined) return before;
    if (entered.has(rule)) throw new GrammarProblem('a rule begins with itself');
    entered.add(rule);
    const ways = (rules[rule] ?? []).map(ofSequence);
    const places = ways.reduce((sum, way) => sum + way.places, 1);
    if (places > PLACES_MAX) throw new GrammarProblem(`a text can go on in more than ${PLACES_MAX} ways`);
    const row = Math.max(0, ...ways.map((way) => way.row)) + (canBeEmpty[rule] ? 1 : 0);
    const breadth = { places, row };
    known.set(rule, breadth);
    return breadth;
  };

  const ofSequence = (items: readonly number[]): Breadth => {
    let places = 0;
    let row = 0;
    for (const item of items) {
      const breadth = item === TERMINAL ? { places: 1, row: 0 } : ofRule(item);
      places += breadth.places;
      row += breadth.row;
      if (row > OPTIONAL_ROW_MAX) throw tooManyOptional();
      if (item === TERMINAL || !canBeEmpty[item]) break;
    }
    return { places, row };
  };

  for (const [rule, alternatives] of rules.entries()) {
    ofRule(rule);
    // A text can stand before any item of a sequence, not only before the first.
    for (const items of alternatives ?? []) checkRows(items);
  }

  function checkRows(items: readonly number[]): void {
    let row = 0;
    for (const item of items) {
      const isOptional = item !== TERMINAL && canBeEmpty[item];
      row = isOptional ? row + ofRule(item).row : 0;
      if (row > OPTIONAL_ROW_MAX) throw tooManyOptional();
    }
  }
}

function tooManyOptional(): GrammarProblem {
  return new GrammarProblem(`more than ${OPTIONAL_ROW_MAX} items in a row may be left out`);
}

/** Repeats until nothing changes, as a rule can be empty by way of rules that stand after it. */
function rulesThatCanBeEmpty(rules: GrammarRules): readonly boolean[] {
  const result = rules.map(() => false);
  for (let changed = true; changed; ) {
    changed = false;
    for (const [rule, alternatives] of rules.entries()) {
      if (result[rule]) continue;
      if (alternatives?.some((items) => items.every((item) => item !== TERMINAL && result[item]))) {
        result[rule] = true;
        changed = true;
      }
    }
  }
  return result;
}
