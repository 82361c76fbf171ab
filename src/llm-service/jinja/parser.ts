import { ExpressionParser } from './expression-parser.ts';
import { tokenize } from './lexer.ts';
import type { Body, Expression, FilterCall, MacroParts, Parameter, Statement, Target } from './syntax.ts';
import { TokenStream } from './token-stream.ts';
import { JinjaError } from './values.ts';

/** Throws {@link JinjaError} for what is not Jinja2 with the tags of transformers (`break`, `continue`, `generation`). */
export function parse(source: string): Body {
  const stream = new TokenStream(tokenize(source));
  const body = new StatementParser(stream).body([]);
  if (!stream.at('end')) stream.unexpected();
  return body;
}

class StatementParser {
  readonly #stream: TokenStream;
  readonly #expressions: ExpressionParser;

  constructor(stream: TokenStream) {
    this.#stream = stream;
    this.#expressions = new ExpressionParser(stream);
  }

  /** Statements up to a tag that begins with one of `ends`, whose name is then next. */
  body(ends: readonly string[]): Body {
    const statements: Statement[] = [];
    for (;;) {
      const token = this.#stream.current;
      if (token.kind === 'end') {
        if (ends.length > 0) throw new JinjaError(`${ends.at(-1)} is missing`);
        return statements;
      }
      this.#stream.next();
      if (token.kind === 'text') statements.push({ kind: 'text', text: token.value });
      else if (token.kind === 'print-begin') {
        statements.push({ kind: 'print', value: this.#expressions.tuple() });
        this.#stream.expect('print-end');
      } else if (token.kind === 'block-begin') {
        if (this.#stream.at('name', ...ends) && ends.length > 0) return statements;
        statements.push(this.#statement(this.#stream.name()));
      } else this.#stream.unexpected();
    }
  }

  /** The rest of a tag, its body, and the end tag up to and with its name. */
  #block(end: string): Body {
    this.#stream.expect('block-end');
    const body = this.body([end]);
    this.#stream.next();
    return body;
  }

  #statement(name: string): Statement {
    const statement = this.#parse(name);
    this.#stream.expect('block-end');
    return statement;
  }

  #parse(name: string): Statement {
    switch (name) {
      case 'if':
        return this.#if();
      case 'for':
        return this.#for();
      case 'set':
        return this.#set();
      case 'macro':
        return { kind: 'macro', name: this.#stream.name(), ...this.#macro('endmacro') };
      case 'call':
        return this.#callBlock();
      case 'filter': {
        const filters = [this.#expressions.filter(), ...this.#expressions.filters()];
        return { kind: 'filter-block', filters, body: this.#block('endfilter') };
      }
      case 'with':
        return this.#with();
      case 'print':
        return { kind: 'print', value: this.#expressions.tuple() };
      case 'generation':
        return { kind: 'with', bindings: [], body: this.#block('endgeneration') };
      case 'break':
      case 'continue':
        return { kind: name };
      default:
        throw new JinjaError(`"${name}" is no tag of a chat template`);
    }
  }

  #if(): Statement {
    const branches: { test: Expression; body: Body }[] = [];
    let next = 'elif';
    while (next === 'elif') {
      const test = this.#expressions.tuple({ choices: false });
      this.#stream.expect('block-end');
      branches.push({ test, body: this.body(['elif', 'else', 'endif']) });
      next = this.#stream.name();
    }
    return { kind: 'if', branches, otherwise: next === 'else' ? this.#block('endif') : [] };
  }

  #for(): Statement {
    const target = this.#target();
    this.#stream.expect('name', 'in');
    const of = this.#expressions.tuple({ choices: false });
    const test = this.#stream.take('name', 'if') ? this.#expressions.expression() : undefined;
    const recursive = this.#stream.take('name', 'recursive');
    this.#stream.expect('block-end');
    const body = this.body(['else', 'endfor']);
    const otherwise = this.#stream.name() === 'else' ? this.#block('endfor') : [];
    return { kind: 'for', target, of, test, recursive, body, otherwise };
  }

  #set(): Statement {
    const target = this.#target();
    if (this.#stream.take('operator', '=')) return { kind: 'set', target, value: this.#expressions.tuple() };
    const filters: FilterCall[] = this.#expressions.filters();
    return { kind: 'set-block', target, filters, body: this.#block('endset') };
  }

  #macro(end: string): MacroParts {
    const parameters = this.#stream.at('operator', '(') ? this.#parameters() : [];
    return this.#macroBody(parameters, end);
  }

  #macroBody(parameters: readonly Parameter[], end: string): MacroParts {
    const { parsed, names } = this.#stream.watchNames(() => this.#block(end));
    return { parameters, body: parsed, uses: names };
  }

  #callBlock(): Statement {
    const parameters = this.#stream.at('operator', '(') ? this.#parameters() : [];
    const call = this.#expressions.expression();
    if (call.kind !== 'call') throw new JinjaError('a call block calls nothing');
    return { kind: 'call-block', call, ...this.#macroBody(parameters, 'endcall') };
  }

  #parameters(): Parameter[] {
    const parameters: Parameter[] = [];
    this.#stream.expect('operator', '(');
    while (!this.#stream.at('operator', ')')) {
      const name = this.#stream.name();
      const otherwise = this.#stream.take('operator', '=') ? this.#expressions.expression() : undefined;
      parameters.push({ name, otherwise });
      if (!this.#stream.take('operator', ',')) break;
    }
    this.#stream.expect('operator', ')');
    return parameters;
  }

  #with(): Statement {
    const bindings: [Target, Expression][] = [];
    while (!this.#stream.at('block-end')) {
      if (bindings.length > 0) this.#stream.expect('operator', ',');
      const target = this.#target();
      this.#stream.expect('operator', '=');
      bindings.push([target, this.#expressions.expression()]);
    }
    return { kind: 'with', bindings, body: this.#block('endwith') };
  }

  #target(): Target {
    const items = [this.#oneTarget()];
    let several = false;
    while (this.#stream.take('operator', ',')) {
      several = true;
      if (this.#stream.at('name', 'in') || !(this.#stream.at('name') || this.#stream.at('operator', '('))) break;
      items.push(this.#oneTarget());
    }
    return several ? { kind: 'tuple', items } : (items[0] as Target);
  }

  #oneTarget(): Target {
    if (this.#stream.take('operator', '(')) {
      const inner = this.#target();
      this.#stream.expect('operator', ')');
      return inner;
    }
    const name = this.#stream.name();
    return this.#stream.take('operator', '.')
      ? { kind: 'attribute', of: name, name: this.#stream.name() }
      : { kind: 'name', name };
  }
}
