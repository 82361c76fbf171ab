import { GRAMMAR_BYTES_MAX } from '../grammar-check.ts';
import { COMMON_RULES } from './json-rules.ts';
import { SchemaProblem } from './schema-keywords.ts';

/** The rules of a grammar as they are made, in GBNF. Whatever makes one throws {@link SchemaProblem} where they become too long. */
export class GrammarRules {
  readonly #rules = new Map<string, string>();
  #names = 0;
  #bytes = 0;

  /** The grammar, a rule a line. */
  get text(): string {
    return [...this.#rules].map(([name, rule]) => `${name} ::= ${rule}\n`).join('');
  }

  /** The name of a rule that all grammars of JSON share. */
  common(name: string): string {
    const common = COMMON_RULES[name];
    if (common !== undefined && !this.#rules.has(name)) {
      this.define(name, common.rule);
      for (const other of common.uses) this.common(other);
    }
    return name;
  }

  /** A rule of its own for what is longer than a name. */
  rule(text: string): string {
    if (/^[a-z0-9]+$/.test(text)) return text;
    const name = this.newName();
    this.define(name, text);
    return name;
  }

  newName(): string {
    return `r${this.#names++}`;
  }

  define(name: string, rule: string): void {
    this.#bytes += Buffer.byteLength(rule);
    if (this.#bytes > GRAMMAR_BYTES_MAX) {
      throw new SchemaProblem('#', `its grammar has more than ${GRAMMAR_BYTES_MAX} bytes`);
    }
    this.#rules.set(name, rule);
  }
}

export function repeated(item: string, minimum: number, maximum: number): string {
  if (maximum === Infinity) return minimum === 0 ? `${item}*` : `${item}{${minimum},}`;
  return `${item}{${minimum},${maximum}}`;
}

/** A JSON text as GBNF spells it; JSON has no raw line breaks. */
export function literal(json: string): string {
  return `"${json.replace(/[\\"]/g, '\\$&')}"`;
}
