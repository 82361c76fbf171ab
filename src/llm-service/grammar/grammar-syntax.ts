/** An item of a rule: one character (or token) of the text, or another rule by its number. */
export type GrammarItem = typeof TERMINAL | number;
export const TERMINAL = -1;

/** Alternatives, each a sequence of items; `undefined` for a rule that is named and not defined. */
export type GrammarRules = ReadonlyArray<readonly (readonly GrammarItem[])[] | undefined>;

export interface ParsedGrammar {
  readonly rules: GrammarRules;
  readonly names: ReadonlyMap<string, number>;
}

/** Why a text is not a grammar, without quoting it: a user may have written it. */
export class GrammarProblem extends Error {}

/** Parentheses in parentheses: llama.cpp's parser recurses, and some ten thousands overflow the stack of its thread. */
export const NESTING_MAX = 128;

/** Items of all rules once repetitions are written out; llama.cpp copies the repeated item that many times. */
export const EXPANDED_ITEMS_MAX = 20_000;

/** Rules that one repetition may stand for, the rules of what it repeats included; llama.cpp refuses 2,000. */
export const REPETITIONS_MAX = 1_000;

/**
 * Reads GBNF as llama.cpp does, with the rules that it adds for groups and repetitions, and refuses what its parser
 * refuses (a token by its name included, which node-llama-cpp gives it no vocabulary for) or does not survive, such as
 * `{2,1}`. Throws {@link GrammarProblem}.
 */
export function parseGrammar(text: string): ParsedGrammar {
  return new Parser(text).parse();
}

class Parser {
  readonly #text: string;
  #at = 0;
  #expandedItems = 0;
  #symbols = 0;
  readonly #names = new Map<string, number>();
  readonly #rules: (GrammarItem[][] | undefined)[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  parse(): ParsedGrammar {
    if (this.#text.includes('\0')) throw new GrammarProblem('it has a NUL character');
    this.#skipSpace(true);
    while (this.#at < this.#text.length) this.#rule();
    return { rules: this.#rules, names: this.#names };
  }

  #rule(): void {
    const number = this.#named(this.#match(NAME, 'a rule name is expected'));
    this.#skipSpace(false);
    this.#match(/::=/y, '::= is expected');
    this.#skipSpace(true);
    this.#rules[number] = this.#alternatives(0);
    if (this.#at < this.#text.length) this.#match(/\r\n|\r|\n/y, 'the end of the line is expected');
    this.#skipSpace(true);
  }

  #alternatives(depth: number): GrammarItem[][] {
    if (depth > NESTING_MAX) throw new GrammarProblem(`parentheses are nested more than ${NESTING_MAX} deep`);
    const alternatives = [this.#sequence(depth)];
    while (this.#peek() === '|') {
      this.#at++;
      this.#skipSpace(true);
      alternatives.push(this.#sequence(depth));
    }
    return alternatives;
  }

  #sequence(depth: number): GrammarItem[] {
    const items: GrammarItem[] = [];
    /** Where what a repetition would repeat begins, and how many rules it consists of. */
    let last = { start: 0, rules: 1 };
    for (;;) {
      const start = items.length;
      const symbol = this.#peek();
      if (symbol === '"' || symbol === '[') {
        const length = symbol === '"' ? this.#literal() : this.#characterClass();
        for (let i = 0; i < length; i++) items.push(TERMINAL);
        last = { start, rules: 1 };
      } else if (symbol === '.') {
        this.#at++;
        items.push(TERMINAL);
        last = { start, rules: 1 };
      } else if (symbol === '<' || symbol === '!') {
        this.#match(/!?<\[\d{1,9}\]>/y, 'a token is written <[id]>');
        items.push(TERMINAL);
        last = { start, rules: 1 };
      } else if (symbol === '(') {
        this.#at++;
        this.#skipSpace(true);
        const symbolsBefore = this.#symbols;
        const group = this.#newRule();
        this.#rules[group] = this.#alternatives(depth + 1);
        this.#match(/\)/y, '")" is expected');
        items.push(group);
        last = { start, rules: this.#symbols - symbolsBefore };
      } else if (WORD.test(symbol)) {
        items.push(this.#named(this.#match(NAME, 'a rule name is expected')));
        last = { start, rules: 1 };
      } else if (symbol !== '' && '*+?{'.includes(symbol)) {
        const times = this.#times(depth > 0);
        if (last.start === items.length) throw new GrammarProblem('a repetition has nothing to repeat');
        last.rules = this.#repeat(items, last, times);
      } else {
        this.#count(items.length);
        return items;
      }
      this.#skipSpace(depth > 0);
    }
  }

  /** Rewrites the last item as llama.cpp does: `S{m,n}` to m times S and n − m rules, each an S and the next, or nothing. */
  #repeat(
    items: GrammarItem[],
    last: { readonly start: number; readonly rules: number },
    { minimum, maximum }: { minimum: number; maximum: number },
  ): number {
    const repeated = items.splice(last.start);
    const times = Number.isFinite(maximum) && maximum > 0 ? maximum : Math.max(1, minimum);
    if (last.rules * times > REPETITIONS_MAX) {
      throw new GrammarProblem(`a repetition stands for more than ${REPETITIONS_MAX} rules`);
    }
    this.#count(repeated.length * times);
    for (let i = 0; i < minimum; i++) items.push(...repeated);
    const isEndless = !Number.isFinite(maximum);
    let previous: number | undefined;
    for (let i = 0; i < (isEndless ? 1 : maximum - minimum); i++) {
      const rule = this.#newRule();
      const next = isEndless ? rule : previous;
      this.#rules[rule] = [next === undefined ? repeated : [...repeated, next], []];
      previous = rule;
    }
    if (previous !== undefined) items.push(previous);
    return last.rules * times;
  }

  #times(newlines: boolean): { minimum: number; maximum: number } {
    const operator = this.#text[this.#at++];
    if (operator === '*') return { minimum: 0, maximum: Infinity };
    if (operator === '+') return { minimum: 1, maximum: Infinity };
    if (operator === '?') return { minimum: 0, maximum: 1 };
    const number = () => {
      const value = Number(this.#match(/\d{1,9}/y, 'a number of repetitions is expected'));
      this.#skipSpace(newlines);
      return value;
    };
    this.#skipSpace(newlines);
    const minimum = number();
    let maximum = minimum;
    if (this.#peek() === ',') {
      this.#at++;
      this.#skipSpace(newlines);
      maximum = /\d/.test(this.#peek()) ? number() : Infinity;
    }
    this.#match(/\}/y, '"}" is expected');
    if (maximum < minimum) throw new GrammarProblem('a repetition has a maximum below its minimum');
    return { minimum, maximum };
  }

  #literal(): number {
    this.#at++;
    let length = 0;
    for (; this.#peek() !== '"'; length++) this.#character();
    this.#at++;
    return length;
  }

  /** Its characters count as one item; an empty class matches nothing, and is refused. */
  #characterClass(): number {
    this.#match(/\[\^?/y, '"[" is expected');
    if (this.#peek() === ']') throw new GrammarProblem('a character class is empty');
    while (this.#peek() !== ']') this.#character();
    this.#at++;
    return 1;
  }

  #character(): void {
    this.#match(CHARACTER, this.#peek() === '' ? 'a quote or bracket is not closed' : 'an escape is not known');
  }

  #named(name: string): number {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const number = this.#newRule();
    this.#names.set(name, number);
    return number;
  }

  #newRule(): number {
    const number = this.#symbols++;
    this.#rules[number] = undefined;
    return number;
  }

  #count(items: number): void {
    this.#expandedItems += items;
    if (this.#expandedItems <= EXPANDED_ITEMS_MAX) return;
    throw new GrammarProblem(`its repetitions make more than ${EXPANDED_ITEMS_MAX} items`);
  }

  #skipSpace(newlines: boolean): void {
    const space = newlines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /(?:[ \t]|#[^\r\n]*)*/y;
    this.#match(space, '');
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #match(pattern: RegExp, problem: string): string {
    const sticky = new RegExp(pattern.source, 'yu');
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0];
    if (found === undefined) throw new GrammarProblem(`${problem}, at character ${this.#at}`);
    this.#at += found.length;
    return found;
  }
}

const WORD = /^[a-zA-Z0-9-]$/;
const NAME = /[a-zA-Z0-9-]+/y;
const CHARACTER = /\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[trn\\"[\]-])|[^\\]/y;
