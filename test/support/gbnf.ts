import type { Chance } from '../../tools/chance.ts';

type Expression =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] }
  | { readonly kind: 'rule'; readonly name: string }
  | { readonly kind: 'choice'; readonly ways: readonly (readonly Expression[])[] }
  | { readonly kind: 'times'; readonly of: Expression; readonly minimum: number; readonly maximum: number };

/** A grammar of one line a rule, as an interpreter of its own reads it: what it allows can be drawn and matched. */
export class Gbnf {
  readonly #rules = new Map<string, Expression>();

  constructor(text: string) {
    for (const line of text.trim().split('\n')) {
      const [, name = '', rule = ''] = /^(\S+) ::= (.*)$/s.exec(line) ?? [];
      const reader = { text: rule, at: 0 };
      this.#rules.set(name, choice(reader));
      if (reader.at !== rule.length) throw new Error(`cannot read ${rule.slice(reader.at)}`);
    }
  }

  /** A text that it allows. */
  draw(chance: Chance): string {
    return this.#draw(this.#rule('root'), chance, 0);
  }

  matches(text: string): boolean {
    return this.#ends(this.#rule('root'), [...text], 0).has([...text].length);
  }

  #rule(name: string): Expression {
    const rule = this.#rules.get(name);
    if (rule === undefined) throw new Error(`no rule ${name}`);
    return rule;
  }

  #draw(of: Expression, chance: Chance, depth: number): string {
    switch (of.kind) {
      case 'text':
        return of.text;
      case 'class': {
        if (of.negated) return chance.of([...'abxyz 0é🦑'].filter((letter) => isIn(of, letter)));
        const [from, to] = chance.of(of.ranges);
        return String.fromCodePoint(from + chance.below(to - from + 1));
      }
      case 'rule':
        return this.#draw(this.#rule(of.name), chance, depth + 1);
      case 'choice': {
        // Deep inside the last way is taken, which in the grammars drawn from is the one that ends.
        const way = depth > 20 ? of.ways.at(-1) : chance.of(of.ways);
        return (way ?? []).map((item) => this.#draw(item, chance, depth)).join('');
      }
      case 'times': {
        const most = Math.min(of.maximum, of.minimum + (depth > 20 ? 0 : 3));
        const times = of.minimum + chance.below(most - of.minimum + 1);
        return Array.from({ length: times }, () => this.#draw(of.of, chance, depth)).join('');
      }
      default:
        return of satisfies never;
    }
  }

  /** Where a match that begins at `from` can end. */
  #ends(of: Expression, text: readonly string[], from: number): Set<number> {
    switch (of.kind) {
      case 'text': {
        const letters = [...of.text];
        return letters.every((letter, i) => text[from + i] === letter) ? new Set([from + letters.length]) : new Set();
      }
      case 'class': {
        const letter = text[from];
        return letter !== undefined && isIn(of, letter) ? new Set([from + 1]) : new Set();
      }
      case 'rule':
        return this.#ends(this.#rule(of.name), text, from);
      case 'choice':
        return new Set(
          of.ways.flatMap((way) => [...way.reduce((at, item) => this.#after(item, text, at), new Set([from]))]),
        );
      case 'times': {
        const ends = new Set<number>();
        let at = new Set([from]);
        for (let times = 0; times <= of.maximum && at.size > 0; times++) {
          const known = ends.size;
          if (times >= of.minimum) for (const end of at) ends.add(end);
          if (times > of.minimum && ends.size === known) break;
          at = this.#after(of.of, text, at);
        }
        return ends;
      }
      default:
        return of satisfies never;
    }
  }

  #after(item: Expression, text: readonly string[], at: ReadonlySet<number>): Set<number> {
    return new Set([...at].flatMap((from) => [...this.#ends(item, text, from)]));
  }
}

interface Reader {
  readonly text: string;
  at: number;
}

function take(reader: Reader, pattern: RegExp): string | undefined {
  const sticky = new RegExp(pattern.source, 'yu');
  sticky.lastIndex = reader.at;
  const found = sticky.exec(reader.text)?.[0];
  reader.at += found?.length ?? 0;
  return found;
}

function choice(reader: Reader): Expression {
  const ways: Expression[][] = [[]];
  for (;;) {
    take(reader, / */);
    if (take(reader, /\|/) !== undefined) ways.push([]);
    else {
      const item = single(reader);
      if (item === undefined) return { kind: 'choice', ways };
      ways.at(-1)?.push(item);
    }
  }
}

function single(reader: Reader): Expression | undefined {
  const of = atom(reader);
  if (of === undefined) return undefined;
  const sign = take(reader, /[*+?]|\{\d+(?:,\d*)?\}/);
  if (sign === undefined) return of;
  const [minimum = 0, maximum = minimum] =
    sign === '*' ? [0, Infinity] : sign === '+' ? [1, Infinity] : sign === '?' ? [0, 1] : bounds(sign);
  return { kind: 'times', of, minimum, maximum };
}

function bounds(sign: string): number[] {
  return sign
    .slice(1, -1)
    .split(',')
    .map((number) => (number === '' ? Infinity : Number(number)));
}

function atom(reader: Reader): Expression | undefined {
  if (take(reader, /\(/) !== undefined) {
    const inside = choice(reader);
    if (take(reader, /\)/) === undefined) throw new Error('a parenthesis is not closed');
    return inside;
  }
  const quoted = take(reader, /"(?:\\.|[^"\\])*"/);
  if (quoted !== undefined) return { kind: 'text', text: letters(quoted.slice(1, -1)).join('') };
  const bracket = take(reader, /\[(?:\\.|[^\]\\])*\]/);
  if (bracket !== undefined) return characterClass(bracket.slice(1, -1));
  const name = take(reader, /[a-z0-9-]+/);
  return name === undefined ? undefined : { kind: 'rule', name };
}

function characterClass(inside: string): Expression {
  const negated = inside.startsWith('^');
  const ranges: [number, number][] = [];
  const all = inside.slice(negated ? 1 : 0).match(CHARACTER) ?? [];
  for (let i = 0; i < all.length; i++) {
    const from = code(all[i] as string);
    const isRange = all[i + 1] === '-' && i + 2 < all.length;
    ranges.push([from, isRange ? code(all[i + 2] as string) : from]);
    if (isRange) i += 2;
  }
  return { kind: 'class', negated, ranges };
}

const CHARACTER = /\\x[0-9A-F]{2}|\\.|[^\\]/gu;
const ESCAPED: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function letters(spelled: string): string[] {
  return (spelled.match(CHARACTER) ?? []).map((one) => String.fromCodePoint(code(one)));
}

function code(spelled: string): number {
  if (spelled.startsWith('\\x')) return Number.parseInt(spelled.slice(2), 16);
  const letter = spelled.startsWith('\\') ? spelled.slice(1) : spelled;
  return (spelled.startsWith('\\') ? (ESCAPED[letter] ?? letter) : letter).codePointAt(0) as number;
}

function isIn({ negated, ranges }: Extract<Expression, { kind: 'class' }>, letter: string): boolean {
  const point = letter.codePointAt(0) as number;
  return ranges.some(([from, to]) => from <= point && point <= to) !== negated;
}
