import type { ArgumentList, Arithmetic, Comparison, Expression, FilterCall } from './syntax.ts';
import type { TokenStream } from './token-stream.ts';
import { Float, type Value } from './values.ts';

const CONSTANTS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
]);
const COMPARISONS: readonly string[] = ['==', '!=', '<', '<=', '>', '>='];
const NO_ARGUMENTS: ArgumentList = { positional: [], named: [], spread: undefined, namedSpread: undefined };

/** Expressions in Jinja2's order of binding, from the loosest: choice, or, and, not, comparison, +, ~, *, **, sign, filter. */
export class ExpressionParser {
  readonly #stream: TokenStream;

  constructor(stream: TokenStream) {
    this.#stream = stream;
  }

  expression(): Expression {
    let value = this.#or();
    while (this.#stream.take('name', 'if')) {
      const test = this.#or();
      const otherwise = this.#stream.take('name', 'else') ? this.expression() : undefined;
      value = { kind: 'choice', test, chosen: value, otherwise };
    }
    return value;
  }

  /** One expression or, where commas follow, a tuple. */
  tuple(options: { choices: boolean } = { choices: true }): Expression {
    const part = () => (options.choices ? this.expression() : this.#or());
    const first = part();
    if (!this.#stream.at('operator', ',')) return first;
    const items = [first];
    while (this.#stream.take('operator', ',') && !this.#endsTuple()) items.push(part());
    return { kind: 'tuple', items };
  }

  #endsTuple(): boolean {
    const { current } = this.#stream;
    return ['print-end', 'block-end'].includes(current.kind) || this.#stream.at('operator', ')');
  }

  filters(): FilterCall[] {
    const filters: FilterCall[] = [];
    while (this.#stream.take('operator', '|')) filters.push(this.filter());
    return filters;
  }

  filter(): FilterCall {
    const name = this.#dottedName();
    return { name, args: this.#stream.at('operator', '(') ? this.callArguments() : NO_ARGUMENTS };
  }

  callArguments(): ArgumentList {
    const positional: Expression[] = [];
    const named: [string, Expression][] = [];
    let spread: Expression | undefined;
    let namedSpread: Expression | undefined;
    this.#stream.expect('operator', '(');
    while (!this.#stream.at('operator', ')')) {
      if (this.#stream.take('operator', '**')) namedSpread = this.expression();
      else if (this.#stream.take('operator', '*')) spread = this.expression();
      else if (
        this.#stream.at('name') &&
        this.#stream.peek().kind === 'operator' &&
        this.#stream.peek().value === '='
      ) {
        const name = this.#stream.name();
        this.#stream.next();
        named.push([name, this.expression()]);
      } else if (named.length > 0) this.#stream.unexpected();
      else positional.push(this.expression());
      if (!this.#stream.take('operator', ',')) break;
    }
    this.#stream.expect('operator', ')');
    return { positional, named, spread, namedSpread };
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#stream.take('name', 'or')) left = { kind: 'or', left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#stream.take('name', 'and')) left = { kind: 'and', left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    return this.#stream.take('name', 'not') ? { kind: 'not', of: this.#not() } : this.#comparison();
  }

  #comparison(): Expression {
    const first = this.#sum();
    const rest: Comparison[] = [];
    for (;;) {
      const operator = this.#comparisonOperator();
      if (operator === undefined) return rest.length === 0 ? first : { kind: 'comparison', first, rest };
      rest.push({ operator, right: this.#sum() });
    }
  }

  #comparisonOperator(): Comparison['operator'] | undefined {
    if (this.#stream.at('operator', ...COMPARISONS)) return this.#stream.next().value as Comparison['operator'];
    if (this.#stream.take('name', 'in')) return 'in';
    if (this.#stream.at('name', 'not') && this.#stream.peek().value === 'in') {
      this.#stream.next();
      this.#stream.next();
      return 'not in';
    }
    return undefined;
  }

  #arithmetic(operators: readonly Arithmetic[], operand: () => Expression): Expression {
    let left = operand();
    while (this.#stream.at('operator', ...operators)) {
      const operator = this.#stream.next().value as Arithmetic;
      left = { kind: 'arithmetic', operator, left, right: operand() };
    }
    return left;
  }

  #sum(): Expression {
    return this.#arithmetic(['+', '-'], () => this.#concatenation());
  }

  #concatenation(): Expression {
    const items = [this.#product()];
    while (this.#stream.take('operator', '~')) items.push(this.#product());
    return items.length === 1 ? (items[0] as Expression) : { kind: 'concatenation', items };
  }

  #product(): Expression {
    return this.#arithmetic(['*', '/', '//', '%'], () => this.#arithmetic(['**'], () => this.#signed(true)));
  }

  #signed(withFilters: boolean): Expression {
    let operand: Expression;
    if (this.#stream.at('operator', '+', '-')) {
      const operator = this.#stream.next().value as '+' | '-';
      operand = { kind: 'sign', operator, of: this.#signed(false) };
    } else operand = this.#primary();
    operand = this.#postfix(operand);
    return withFilters ? this.#filtered(operand) : operand;
  }

  #primary(): Expression {
    const token = this.#stream.current;
    if (token.kind === 'integer') return { kind: 'constant', value: this.#stream.next().value as number };
    if (token.kind === 'float') return { kind: 'constant', value: new Float(this.#stream.next().value as number) };
    if (token.kind === 'string') {
      let text = '';
      while (this.#stream.at('string')) text += this.#stream.next().value;
      return { kind: 'constant', value: text };
    }
    if (token.kind === 'name') {
      const name = this.#stream.name();
      const value = CONSTANTS.get(name);
      return value === undefined ? { kind: 'name', name } : { kind: 'constant', value };
    }
    if (this.#stream.take('operator', '(')) return this.#parenthesized();
    if (this.#stream.take('operator', '[')) return { kind: 'list', items: this.#items(']') };
    if (this.#stream.take('operator', '{')) return { kind: 'dict', entries: this.#dictEntries() };
    return this.#stream.unexpected();
  }

  #parenthesized(): Expression {
    if (this.#stream.take('operator', ')')) return { kind: 'tuple', items: [] };
    const inner = this.tuple();
    this.#stream.expect('operator', ')');
    return inner;
  }

  #items(close: string): Expression[] {
    const items: Expression[] = [];
    while (!this.#stream.at('operator', close)) {
      items.push(this.expression());
      if (!this.#stream.take('operator', ',')) break;
    }
    this.#stream.expect('operator', close);
    return items;
  }

  #dictEntries(): [Expression, Expression][] {
    const entries: [Expression, Expression][] = [];
    while (!this.#stream.at('operator', '}')) {
      const key = this.expression();
      this.#stream.expect('operator', ':');
      entries.push([key, this.expression()]);
      if (!this.#stream.take('operator', ',')) break;
    }
    this.#stream.expect('operator', '}');
    return entries;
  }

  #postfix(operand: Expression): Expression {
    let of = operand;
    for (;;) {
      if (this.#stream.take('operator', '.')) of = this.#attribute(of);
      else if (this.#stream.take('operator', '[')) of = this.#subscript(of);
      else if (this.#stream.at('operator', '(')) of = { kind: 'call', of, args: this.callArguments() };
      else return of;
    }
  }

  #filtered(operand: Expression): Expression {
    let of = operand;
    for (;;) {
      if (this.#stream.take('operator', '|')) of = { kind: 'filter', of, ...this.filter() };
      else if (this.#stream.take('name', 'is')) of = this.#test(of);
      else if (this.#stream.at('operator', '(')) of = { kind: 'call', of, args: this.callArguments() };
      else return of;
    }
  }

  #attribute(of: Expression): Expression {
    if (this.#stream.at('integer')) {
      return { kind: 'item', of, key: { kind: 'constant', value: this.#stream.next().value as number } };
    }
    return { kind: 'attribute', of, name: this.#stream.name() };
  }

  #subscript(of: Expression): Expression {
    const bound = () => (this.#stream.at('operator', ':', ']') ? undefined : this.expression());
    const start = bound();
    if (!this.#stream.take('operator', ':')) {
      const keys = [start ?? this.#stream.unexpected()];
      while (this.#stream.take('operator', ',')) keys.push(this.expression());
      this.#stream.expect('operator', ']');
      return { kind: 'item', of, key: keys.length === 1 ? (keys[0] as Expression) : { kind: 'tuple', items: keys } };
    }
    const stop = bound();
    const step = this.#stream.take('operator', ':') ? bound() : undefined;
    this.#stream.expect('operator', ']');
    return { kind: 'slice', of, start, stop, step };
  }

  #test(of: Expression): Expression {
    const negated = this.#stream.take('name', 'not');
    const name = this.#dottedName();
    const test: Expression = { kind: 'test', of, name, args: this.#testArguments() };
    return negated ? { kind: 'not', of: test } : test;
  }

  #testArguments(): ArgumentList {
    if (this.#stream.at('operator', '(')) return this.callArguments();
    const { kind } = this.#stream.current;
    const begins = ['name', 'string', 'integer', 'float'].includes(kind) || this.#stream.at('operator', '[', '{');
    if (!begins || this.#stream.at('name', 'else', 'or', 'and', 'is', 'if', 'in', 'not')) return NO_ARGUMENTS;
    return { ...NO_ARGUMENTS, positional: [this.#postfix(this.#primary())] };
  }

  #dottedName(): string {
    let name = this.#stream.name();
    while (this.#stream.take('operator', '.')) name += `.${this.#stream.name()}`;
    return name;
  }
}
