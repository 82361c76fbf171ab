import { Callable, Dict, Float, isList, JinjaError, Lazy, Tuple, Undefined, type Value } from './values.ts';
import { spend } from './work.ts';

/** Python's `str()`. */
export function str(value: Value): string {
  if (typeof value === 'string') return value;
  if (value instanceof Undefined) return '';
  return repr(value);
}

/** Python's `repr()`. */
export function repr(value: Value): string {
  spend(1);
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'number') return String(value);
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value === null) return 'None';
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Undefined) return 'Undefined';
  if (isList(value)) return `[${value.map(repr).join(', ')}]`;
  if (value instanceof Tuple) return `(${value.items.map(repr).join(', ')}${value.items.length === 1 ? ',' : ''})`;
  if (value instanceof Dict) {
    return `{${value
      .entries()
      .map(([key, item]) => `${repr(key)}: ${repr(item)}`)
      .join(', ')}}`;
  }
  if (value instanceof Lazy) return '<generator>';
  if (value instanceof Callable) return `<function ${value.name}>`;
  return `<${value.type}>`;
}

const NAMED_ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\\]|(?! )\p{Zs}/gu;

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(UNPRINTABLE, (character) => NAMED_ESCAPES[character] ?? codeEscape(character));
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

function codeEscape(character: string): string {
  const code = character.codePointAt(0) as number;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

/** Python and JavaScript write the same shortest digits, and differ in when they use an exponent. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const [digits = '', exponent = '0'] = value.toExponential().split('e');
  if (value !== 0 && (Number(exponent) < -4 || Number(exponent) >= 16)) {
    return `${digits}e${exponent.startsWith('-') ? '-' : '+'}${exponent.replace(/^[+-]/, '').padStart(2, '0')}`;
  }
  if (Number.isInteger(value)) return `${BigInt(value)}.0`;
  const plain = String(value);
  return plain.includes('e')
    ? value.toFixed(Math.min(100, -Number(exponent) + digits.replace(/[-.]/g, '').length - 1))
    : plain;
}

export interface JsonOptions {
  readonly ensureAscii: boolean;
  /** What a level is indented by; `undefined`: everything in one line. */
  readonly indent: string | undefined;
  readonly separators: { readonly item: string; readonly key: string };
  readonly sortKeys: boolean;
}

/** Python's `json.dumps`, which transformers gives templates as `tojson`. */
export function toJson(value: Value, options: JsonOptions, level = 0): string {
  spend(1 + level * (options.indent?.length ?? 0));
  if (typeof value === 'string') return jsonString(value, options);
  if (value === null) return 'null';
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  if (value instanceof Float) return jsonFloat(value.value);
  if (isList(value) || value instanceof Tuple) {
    const items = isList(value) ? value : value.items;
    return bracketed(
      '[]',
      items.map((item) => toJson(item, options, level + 1)),
      { options, level },
    );
  }
  if (value instanceof Dict) {
    const entries = value.entries().map(([key, item]) => [jsonKey(key), item] as const);
    if (options.sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
    const members = entries.map(
      ([key, item]) => jsonString(key, options) + options.separators.key + toJson(item, options, level + 1),
    );
    return bracketed('{}', members, { options, level });
  }
  if (value instanceof Undefined) value.fail();
  throw new JinjaError('writes as JSON what is none');
}

function bracketed(
  brackets: '[]' | '{}',
  members: readonly string[],
  { options, level }: { options: JsonOptions; level: number },
): string {
  const [open, close] = brackets;
  const { indent, separators } = options;
  if (members.length === 0) return brackets;
  if (indent === undefined) return open + members.join(separators.item) + close;
  const line = `\n${indent.repeat(level + 1)}`;
  return `${open}${line}${members.join(separators.item + line)}\n${indent.repeat(level)}${close}`;
}

function jsonKey(key: Value): string {
  if (typeof key === 'string') return key;
  if (key === null) return 'null';
  if (typeof key === 'boolean' || typeof key === 'number') return String(key);
  if (key instanceof Float) return jsonFloat(key.value);
  throw new JinjaError('writes as JSON a dict whose keys are none');
}

function jsonString(text: string, { ensureAscii }: JsonOptions): string {
  const json = JSON.stringify(text);
  if (!ensureAscii) return json;
  return json.replace(/[\u007f-\uffff]/g, (unit) =>
    unit === '\u007f' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  return floatText(value);
}

/** White space as Python's `str.strip` and `\s` have it. */
export const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const SPACE_START = new RegExp(`^[${SPACE}]+`);
const SPACE_END = new RegExp(`[${SPACE}]+$`);

/** Python's `strip`, `lstrip` and `rstrip`: white space, or any of the given characters. */
export function strip(text: string, ends: { start: boolean; end: boolean }, characters?: string): string {
  if (characters === undefined) {
    const left = ends.start ? text.replace(SPACE_START, '') : text;
    if (!ends.end) return left;
    const last = /\S|\ufeff/.test(left.slice(-1)) && !/[\x1c-\x1f\x85]/.test(left.slice(-1));
    return last ? left : left.replace(SPACE_END, '');
  }
  const points = [...text];
  const set = new Set(characters);
  let from = 0;
  let to = points.length;
  while (ends.start && from < to && set.has(points[from] as string)) from++;
  while (ends.end && to > from && set.has(points[to - 1] as string)) to--;
  return points.slice(from, to).join('');
}
