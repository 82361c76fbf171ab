import { strip } from './text.ts';
import { JinjaError } from './values.ts';

export type Token =
  | { readonly kind: 'text' | 'name' | 'string' | 'operator'; readonly value: string }
  | { readonly kind: 'integer' | 'float'; readonly value: number }
  | { readonly kind: 'block-begin' | 'block-end' | 'print-begin' | 'print-end' | 'end'; readonly value: '' };

const TAG_BEGIN = /\{([%{#])/g;
const RAW_BEGIN = /^\{%([-+]?)\s*raw\s*(-?)%\}/;
const RAW_END = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;
const SPACES = /\s+/y;
const FLOAT = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy;
const STRING = /'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"/y;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~<>=()[\]{}.:|,;]/y;
const CLOSING: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{' };

/**
 * Cuts a template as Jinja2 does with `trim_blocks` and `lstrip_blocks`, as transformers and llama.cpp set it: a block's
 * tag takes the white space before it on its line and one newline after it, `-` takes all, `+` none.
 */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  return new Lexer(source).tokens();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #position = 0;
  /** Whether what follows begins a line: at the start, and after a tag that took its newline. */
  #lineStarts = true;

  constructor(source: string) {
    this.#source = source;
  }

  tokens(): Token[] {
    while (this.#position < this.#source.length) {
      TAG_BEGIN.lastIndex = this.#position;
      const begin = TAG_BEGIN.exec(this.#source);
      if (begin === null) {
        this.#push(this.#source.slice(this.#position));
        break;
      }
      const sign = this.#source[begin.index + 2] ?? '';
      const isPrint = begin[1] === '{';
      this.#push(this.#before(this.#source.slice(this.#position, begin.index), sign, isPrint));
      this.#position = begin.index + 2 + Number(sign === '-' || (sign === '+' && !isPrint));
      if (begin[1] === '#') this.#comment();
      else if (isPrint) this.#tag('print-end');
      else if (!this.#raw(begin.index)) this.#tag('block-end');
      this.#lineStarts = this.#source[this.#position - 1] === '\n';
    }
    this.#tokens.push({ kind: 'end', value: '' });
    return this.#tokens;
  }

  #push(text: string): void {
    if (text !== '') this.#tokens.push({ kind: 'text', value: text });
  }

  /** The text before a tag, without what the tag takes of it. */
  #before(text: string, sign: string, isPrint: boolean): string {
    if (sign === '-') return strip(text, { start: false, end: true });
    if (sign === '+' || isPrint) return text;
    const line = text.lastIndexOf('\n') + 1;
    if (line === 0 && !this.#lineStarts) return text;
    return strip(text.slice(line), { start: true, end: false }) === '' ? text.slice(0, line) : text;
  }

  /** Leaves the closing tag of `length` characters that begins with `sign`. */
  #leave(length: number, options: { sign: string; trims: boolean }): void {
    this.#position += length;
    const rest = options.sign === '-' ? /\s*/y : options.sign !== '+' && options.trims ? /\n?/y : undefined;
    if (rest !== undefined) this.#position += this.#match(rest)?.length ?? 0;
  }

  #comment(): void {
    const end = this.#source.indexOf('#}', this.#position);
    if (end < 0) throw new JinjaError('a comment does not end');
    const sign = end > this.#position ? (this.#source[end - 1] as string) : '';
    this.#position = end;
    this.#leave(2, { sign, trims: true });
  }

  #raw(at: number): boolean {
    const begin = RAW_BEGIN.exec(this.#source.slice(at, at + 200));
    if (begin === null) return false;
    this.#position = at;
    this.#leave(begin[0].length, { sign: begin[2] as string, trims: true });
    RAW_END.lastIndex = this.#position;
    const end = RAW_END.exec(this.#source);
    if (end === null) throw new JinjaError('a raw block does not end');
    this.#lineStarts = false;
    this.#push(this.#before(this.#source.slice(this.#position, end.index), end[1] as string, false));
    this.#position = end.index;
    this.#leave(end[0].length, { sign: end[2] as string, trims: true });
    return true;
  }

  #tag(end: 'print-end' | 'block-end'): void {
    const isPrint = end === 'print-end';
    const closing = isPrint ? /([-]?)\}\}/y : /([-+]?)%\}/y;
    this.#tokens.push({ kind: isPrint ? 'print-begin' : 'block-begin', value: '' });
    const open: string[] = [];
    for (;;) {
      this.#match(SPACES);
      const start = this.#position;
      const close = open.length === 0 ? this.#match(closing) : undefined;
      if (close !== undefined) {
        this.#position = start;
        this.#tokens.push({ kind: end, value: '' });
        this.#leave(close.length, { sign: close.length > 2 ? (close[0] as string) : '', trims: !isPrint });
        return;
      }
      const token = this.#token();
      if (token.kind === 'operator') balance(open, token.value);
      this.#tokens.push(token);
    }
  }

  #token(): Token {
    const float = this.#match(FLOAT);
    // `a.0.1` are two items.
    if (float !== undefined) return { kind: 'float', value: Number(float.replaceAll('_', '')) };
    const integer = this.#match(INTEGER);
    if (integer !== undefined) return { kind: 'integer', value: Number(integer.replaceAll('_', '')) };
    const name = this.#match(NAME);
    if (name !== undefined) return { kind: 'name', value: name.normalize('NFKC') };
    const string = this.#match(STRING);
    if (string !== undefined) return { kind: 'string', value: unescaped(string.slice(1, -1)) };
    const operator = this.#match(OPERATOR);
    if (operator !== undefined) return { kind: 'operator', value: operator };
    const next = this.#source[this.#position];
    throw new JinjaError(next === undefined ? 'a tag does not end' : `unexpected character ${JSON.stringify(next)}`);
  }

  /** What `pattern` (sticky) finds here; the position then is behind it. */
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#source)?.[0];
    if (found !== undefined) this.#position += found.length;
    return found;
  }
}

function balance(open: string[], operator: string): void {
  if ('([{'.includes(operator)) open.push(operator);
  const opening = CLOSING[operator];
  if (opening !== undefined && open.pop() !== opening) throw new JinjaError(`unexpected ${operator}`);
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\x07',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
};
const ESCAPE = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g;

/** As Python's `unicode-escape`: an escape that it does not know stays as written. */
function unescaped(text: string): string {
  return text.replace(ESCAPE, (written, x?: string, u?: string, long?: string, octal?: string, one?: string) => {
    const hex = x ?? u ?? long;
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
    return ESCAPES[one as string] ?? written;
  });
}
