import type { Token } from './lexer.ts';
import { JinjaError } from './values.ts';

/** The tokens of a template and a place in them. */
export class TokenStream {
  readonly #tokens: readonly Token[];
  #position = 0;
  /** Names that were taken since the last {@link watchNames}. */
  #seen = new Set<string>();

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#position] as Token;
  }

  peek(): Token {
    return this.#tokens[this.#position + 1] ?? this.current;
  }

  next(): Token {
    const token = this.current;
    if (token.kind === 'name') this.#seen.add(token.value);
    if (token.kind !== 'end') this.#position++;
    return token;
  }

  at(kind: Token['kind'], ...values: readonly string[]): boolean {
    const { current } = this;
    return current.kind === kind && (values.length === 0 || values.includes(String(current.value)));
  }

  take(kind: Token['kind'], value?: string): boolean {
    const taken = value === undefined ? this.at(kind) : this.at(kind, value);
    if (taken) this.next();
    return taken;
  }

  expect(kind: Token['kind'], value?: string): Token {
    const token = this.current;
    if (!this.take(kind, value)) throw new JinjaError(`${value ?? kind} expected, not ${describe(token)}`);
    return token;
  }

  name(): string {
    return String(this.expect('name').value);
  }

  /** What `parse` gives, and the names that it went over. */
  watchNames<T>(parse: () => T): { parsed: T; names: ReadonlySet<string> } {
    const outer = this.#seen;
    this.#seen = new Set();
    const parsed = parse();
    const names = this.#seen;
    this.#seen = new Set([...outer, ...names]);
    return { parsed, names };
  }

  unexpected(): never {
    throw new JinjaError(`${describe(this.current)} is not expected here`);
  }
}

function describe({ kind, value }: Token): string {
  return kind === 'name' || kind === 'operator' ? `"${value}"` : kind;
}
