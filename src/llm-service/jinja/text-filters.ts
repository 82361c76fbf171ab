import { bind } from './arguments.ts';
import { percentFormat } from './format.ts';
import { capitalize, replaced } from './methods.ts';
import { repr, SPACE, str, strip, toJson } from './text.ts';
import {
  type Arguments,
  Dict,
  Float,
  integerOf,
  isTrue,
  JinjaError,
  numberOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';
import { spend } from './work.ts';

export type Filter = (of: Value, args: Arguments) => Value;

const whole =
  (change: (text: string) => string): Filter =>
  (of, args) => {
    bind(args);
    return change(str(of));
  };

const WORD = /\p{L}[\p{L}\p{N}_]*|[\p{N}_]+/gu;
const TITLE_BREAK = new RegExp(`([-${SPACE}({\\[<]+)`);

export const TEXT_FILTERS: Readonly<Record<string, Filter>> = {
  string: whole((text) => text),
  upper: whole((text) => text.toUpperCase()),
  lower: whole((text) => text.toLowerCase()),
  capitalize: whole(capitalize),
  title: whole((text) => text.split(TITLE_BREAK).map(capitalize).join('')),
  // No output is escaped here, so that text marked as safe is text like any other.
  safe: whole((text) => text),
  escape: whole(escaped),
  e: whole(escaped),
  forceescape: whole(escaped),
  wordcount: (of) => str(of).match(WORD)?.length ?? 0,
  trim(of, args) {
    const [characters = null] = bind(args, 'chars?');
    return strip(str(of), { start: true, end: true }, characters === null ? undefined : str(characters));
  },
  replace(of, args) {
    const [old, by, count = null] = bind(args, 'old', 'new', 'count?') as [Value, Value, Value?];
    return replaced(str(of), { old: str(old), by: str(by), most: count === null ? -1 : integerOf(count, 'a count') });
  },
  indent(of, args) {
    const [width = 4, first = false, blank = false] = bind(args, 'width?', 'first?', 'blank?');
    const indention = typeof width === 'string' ? width : spaces(width);
    const [head = '', ...rest] = str(of).split('\n');
    spend(indention.length * rest.length);
    const lines = rest.map((line) => (line !== '' || isTrue(blank) ? indention + line : line));
    return (isTrue(first) ? indention : '') + [head, ...lines].join('\n');
  },
  center(of, args) {
    const [width = 80] = bind(args, 'width?');
    const missing = Math.max(0, integerOf(width, 'a width') - [...str(of)].length);
    const left = (missing >> 1) + (missing & integerOf(width, 'a width') & 1);
    return spaces(left) + str(of) + spaces(missing - left);
  },
  truncate(of, args) {
    const [length = 255, killwords = false, end = '...', leeway = null] = bind(
      args,
      'length?',
      'killwords?',
      'end?',
      'leeway?',
    );
    const characters = [...str(of)];
    const most = integerOf(length, 'a length');
    if (characters.length <= most + (leeway === null ? 5 : integerOf(leeway, 'leeway'))) return str(of);
    const cut = characters.slice(0, most - [...str(end)].length).join('');
    return (isTrue(killwords) ? cut : cut.slice(0, cut.includes(' ') ? cut.lastIndexOf(' ') : undefined)) + str(end);
  },
  format(of, { positional, named }) {
    if (positional.length > 0 && named.size > 0) throw new JinjaError('formats with values and names');
    return percentFormat(str(of), named.size > 0 ? new Dict(named) : new Tuple(positional));
  },
  int(of, args) {
    const [otherwise = 0, base = 10] = bind(args, 'default?', 'base?');
    return toInteger(of, integerOf(base, 'a base')) ?? otherwise;
  },
  float(of, args) {
    const [otherwise = new Float(0)] = bind(args, 'default?');
    const number = typeof of === 'string' ? parseFloatText(of) : numberFor(of);
    return number === undefined ? otherwise : new Float(number);
  },
  abs(of) {
    const number = mustBeNumber(of);
    return of instanceof Float ? new Float(Math.abs(number)) : Math.abs(number);
  },
  round(of, args) {
    const [precision = 0, method = 'common'] = bind(args, 'precision?', 'method?');
    const [number, digits] = [mustBeNumber(of), integerOf(precision, 'a precision')];
    const value = rounded(number, digits, str(method));
    return of instanceof Float || method !== 'common' ? new Float(value) : value;
  },
  tojson(of, args) {
    const names = ['ensure_ascii?', 'indent?', 'separators?', 'sort_keys?'] as const;
    const [ascii = false, indent = null, separators = null, sortKeys = false] = bind(args, ...names);
    const [item, key] = separators instanceof Tuple ? separators.items.map(str) : [];
    return toJson(of, {
      ensureAscii: isTrue(ascii),
      indent: indent === null ? undefined : typeof indent === 'string' ? indent : spaces(indent),
      separators: { item: item ?? (indent === null ? ', ' : ','), key: key ?? ': ' },
      sortKeys: isTrue(sortKeys),
    });
  },
  pprint: (of) => repr(of),
};

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
};

function spaces(count: Value): string {
  const length = Math.max(0, integerOf(count, 'a width'));
  spend(length);
  return ' '.repeat(length);
}

function escaped(text: string): string {
  return text.replace(/[&<>'"]/g, (character) => ENTITIES[character] as string);
}

function numberFor(value: Value): number | undefined {
  if (value instanceof Undefined) value.fail();
  return numberOf(value);
}

function mustBeNumber(value: Value): number {
  const number = numberFor(value);
  if (number === undefined) throw new JinjaError(`calculates with a ${typeName(value)}`);
  return number;
}

const DIGITS = /^[+-]?\d+(?:_\d+)*$/;
const FLOAT = /^[+-]?(?:(?:\d+(?:_\d+)*)?\.\d+(?:_\d+)*|\d+(?:_\d+)*\.?)(?:e[+-]?\d+)?$/i;
const SPECIAL: Readonly<Record<string, number>> = { inf: Infinity, infinity: Infinity, nan: Number.NaN };

function parseFloatText(text: string): number | undefined {
  const trimmed = strip(text, { start: true, end: true });
  if (FLOAT.test(trimmed)) return Number(trimmed.replaceAll('_', ''));
  const special = SPECIAL[trimmed.replace(/^[+-]/, '').toLowerCase()];
  return special === undefined ? undefined : trimmed.startsWith('-') ? -special : special;
}

function toInteger(value: Value, base: number): number | undefined {
  const whole = (number: number | undefined) =>
    number === undefined || !Number.isFinite(number) ? undefined : Math.trunc(number);
  if (typeof value !== 'string') return whole(numberFor(value));
  const text = strip(value, { start: true, end: true });
  if (base === 10) return DIGITS.test(text) ? Number(text.replaceAll('_', '')) : whole(parseFloatText(text));
  const prefix = base === 16 ? /^0x/i : base === 8 ? /^0o/i : base === 2 ? /^0b/i : /^$/;
  const digits = text.replace(/^[+-]/, '').replace(prefix, '').toLowerCase();
  const valid = digits !== '' && [...digits].every((digit) => Number.parseInt(digit, base) >= 0);
  if (!valid) return whole(parseFloatText(text));
  return (text.startsWith('-') ? -1 : 1) * Number.parseInt(digits, base);
}

/** Python's `round` for `common`: halves to the even neighbour, by the exact value of the float. */
function rounded(value: number, precision: number, method: string): number {
  const scale = 10 ** precision;
  if (method === 'ceil') return Math.ceil(value * scale) / scale;
  if (method === 'floor') return Math.floor(value * scale) / scale;
  if (method !== 'common') throw new JinjaError(`rounds by "${method}"`);
  const scaled = value * scale;
  const isHalf = Math.abs(scaled % 1) === 0.5 && precision <= 0;
  if (isHalf) return (2 * Math.round(scaled / 2)) / scale;
  return precision > 0 ? Number(value.toFixed(Math.min(100, precision))) : Math.round(scaled) / scale;
}
