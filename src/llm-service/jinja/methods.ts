import { bind } from './arguments.ts';
import { braceFormat } from './format.ts';
import { equal, itemOf, listOf } from './operators.ts';
import { SPACE, strip } from './text.ts';
import {
  type Arguments,
  Callable,
  Dict,
  Instance,
  integerOf,
  isList,
  JinjaError,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';

type Method<T> = (of: T, args: Arguments) => Value;

/** What Jinja2 finds as `of.name` before it looks for an item of that name. Methods that change a value are refused. */
export function attributeOf(of: Value, name: string): Value | undefined {
  if (of instanceof Undefined) return of.fail();
  if (of instanceof Instance) return of.attribute(name);
  if (of instanceof Tuple && of.names.includes(name)) return of.items[of.names.indexOf(name)];
  if (CHANGING.get(typeName(of))?.includes(name)) {
    return new Callable(name, () => {
      throw new JinjaError(`changes a ${typeName(of)} with ${name}(), which the sandbox forbids`);
    });
  }
  const method = methodOf(of, name);
  return method && new Callable(name, method);
}

const CHANGING: ReadonlyMap<string, readonly string[]> = new Map([
  ['list', ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort']],
  ['dict', ['clear', 'pop', 'popitem', 'setdefault', 'update']],
]);

function methodOf(of: Value, name: string): ((args: Arguments) => Value) | undefined {
  const found = <T>(methods: Readonly<Record<string, Method<T>>>, value: T) => {
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    return method && ((args: Arguments) => method(value, args));
  };
  if (typeof of === 'string') return found(TEXT, of);
  if (of instanceof Dict) return found(DICT, of);
  if (isList(of)) return found({ ...SEQUENCE, copy: (items: readonly Value[]) => [...items] }, of);
  return of instanceof Tuple ? found(SEQUENCE, of.items) : undefined;
}

const DICT: Readonly<Record<string, Method<Dict>>> = {
  get(of, args) {
    const [key, otherwise = null] = bind(args, 'key', 'default?') as [Value, Value?];
    return of.get(key) ?? (of.has(key) ? null : otherwise);
  },
  items: (of) => of.entries().map(([key, value]) => new Tuple([key, value])),
  keys: (of) => of.keys(),
  values: (of) => of.values(),
  copy: (of) => new Dict(of.entries()),
};

const SEQUENCE: Readonly<Record<string, Method<readonly Value[]>>> = {
  count: (of, args) => of.filter((item) => equal(item, bind(args, 'value')[0] as Value)).length,
  index(of, args) {
    const at = of.findIndex((item) => equal(item, bind(args, 'value')[0] as Value));
    if (at < 0) throw new JinjaError('asks for the index of what is not in a list');
    return at;
  },
};

function text(value: Value | undefined, what: string): string {
  if (typeof value === 'string') return value;
  if (value instanceof Undefined) value.fail();
  throw new JinjaError(`takes a ${typeName(value ?? null)} for ${what}, which must be a str`);
}

function optionalText(value: Value | undefined, what: string): string | undefined {
  return value === undefined || value === null ? undefined : text(value, what);
}

const stripping =
  (ends: { start: boolean; end: boolean }): Method<string> =>
  (of, args) =>
    strip(of, ends, optionalText(bind(args, 'chars?')[0], 'characters to strip'));

function affixes(value: Value | undefined): string[] {
  return value instanceof Tuple ? value.items.map((item) => text(item, 'an affix')) : [text(value, 'an affix')];
}

/** The part of `of` between the optional bounds that `find` and its like take. */
function part(of: string, start: Value | undefined, end: Value | undefined): { text: string; offset: number } {
  const characters = [...of];
  const bound = (value: Value | undefined, otherwise: number) => {
    const number = value === undefined || value === null ? otherwise : integerOf(value, 'a bound');
    return Math.min(characters.length, number < 0 ? Math.max(0, number + characters.length) : number);
  };
  const offset = bound(start, 0);
  return { text: characters.slice(offset, bound(end, characters.length)).join(''), offset };
}

function place(of: string, args: Arguments, last: boolean): number {
  const [wanted, start, end] = bind(args, 'sub', 'start?', 'end?');
  const within = part(of, start, end);
  const at = last ? within.text.lastIndexOf(text(wanted, 'a text')) : within.text.indexOf(text(wanted, 'a text'));
  return at < 0 ? -1 : within.offset + [...within.text.slice(0, at)].length;
}

function mustBeFound(at: number): number {
  if (at < 0) throw new JinjaError('asks for the index of a text that is not there');
  return at;
}

function splitting(fromRight: boolean): Method<string> {
  return (of, args) => {
    const [separator, limit = -1] = bind(args, 'sep?', 'maxsplit?');
    const most = integerOf(limit, 'maxsplit');
    const by = optionalText(separator, 'a separator');
    if (by === '') throw new JinjaError('splits at an empty separator');
    if (by === undefined) return splitAtSpace(of, most, fromRight);
    const parts = of.split(by);
    if (most < 0 || parts.length <= most + 1) return parts;
    return fromRight
      ? [parts.slice(0, parts.length - most).join(by), ...parts.slice(parts.length - most)]
      : [...parts.slice(0, most), parts.slice(most).join(by)];
  };
}

function splitAtSpace(of: string, most: number, fromRight: boolean): string[] {
  const word = fromRight ? new RegExp(`[^${SPACE}]+[${SPACE}]*$`) : new RegExp(`^[${SPACE}]*[^${SPACE}]+`);
  const words: string[] = [];
  let rest = of;
  const trimmed = (value: string) => strip(value, { start: true, end: true });
  while (trimmed(rest) !== '') {
    if (words.length === most) {
      const left = strip(rest, { start: !fromRight, end: fromRight });
      return fromRight ? [left, ...words] : [...words, left];
    }
    const found = (word.exec(rest) as RegExpExecArray)[0];
    rest = fromRight ? rest.slice(0, -found.length) : rest.slice(found.length);
    if (fromRight) words.unshift(trimmed(found));
    else words.push(trimmed(found));
  }
  return words;
}

function partition(of: string, by: string, last: boolean): Value {
  const at = last ? of.lastIndexOf(by) : of.indexOf(by);
  if (at < 0) return new Tuple(last ? ['', '', of] : [of, '', '']);
  return new Tuple([of.slice(0, at), by, of.slice(at + by.length)]);
}

function padded(side: 'left' | 'right' | 'both'): Method<string> {
  return (of, args) => {
    const [width, fill = ' '] = bind(args, 'width', 'fillchar?') as [Value, Value?];
    const missing = Math.max(0, integerOf(width, 'a width') - [...of].length);
    // CPython's center() puts an odd one on the left only where the width is odd.
    const left =
      side === 'right' ? 0 : side === 'left' ? missing : (missing >> 1) + (missing & integerOf(width, 'a width') & 1);
    return text(fill, 'a character').repeat(left) + of + text(fill, 'a character').repeat(missing - left);
  };
}

export function capitalize(of: string): string {
  const [first = '', ...rest] = of;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

const matching =
  (pattern: RegExp): Method<string> =>
  (of) =>
    pattern.test(of);

const TEXT: Readonly<Record<string, Method<string>>> = {
  upper: (of) => of.toUpperCase(),
  lower: (of) => of.toLowerCase(),
  casefold: (of) => of.toLowerCase().replaceAll('ß', 'ss'),
  swapcase: (of) =>
    of.replace(/\p{L}/gu, (letter) => (letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase())),
  title: (of) => of.replace(/\p{L}+/gu, capitalize),
  capitalize,
  strip: stripping({ start: true, end: true }),
  lstrip: stripping({ start: true, end: false }),
  rstrip: stripping({ start: false, end: true }),
  split: splitting(false),
  rsplit: splitting(true),
  splitlines(of, args) {
    const lines =
      of.match(/[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]|$)/g) ?? [];
    if (lines.at(-1) === '') lines.pop();
    const keep = bind(args, 'keepends?')[0] === true;
    return keep ? lines : lines.map((line) => line.replace(/(?:\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029])$/, ''));
  },
  startswith(of, args) {
    const [prefix, start, end] = bind(args, 'prefix', 'start?', 'end?');
    return affixes(prefix).some((affix) => part(of, start, end).text.startsWith(affix));
  },
  endswith(of, args) {
    const [suffix, start, end] = bind(args, 'suffix', 'start?', 'end?');
    return affixes(suffix).some((affix) => part(of, start, end).text.endsWith(affix));
  },
  removeprefix(of, args) {
    const [prefix = ''] = affixes(bind(args, 'prefix')[0]);
    return of.startsWith(prefix) ? of.slice(prefix.length) : of;
  },
  removesuffix(of, args) {
    const [suffix = ''] = affixes(bind(args, 'suffix')[0]);
    return suffix !== '' && of.endsWith(suffix) ? of.slice(0, -suffix.length) : of;
  },
  replace(of, args) {
    const [old, by, count = -1] = bind(args, 'old', 'new', 'count?');
    return replaced(of, { old: text(old, 'a text'), by: text(by, 'a text'), most: integerOf(count, 'a count') });
  },
  find: (of, args) => place(of, args, false),
  rfind: (of, args) => place(of, args, true),
  index: (of, args) => mustBeFound(place(of, args, false)),
  rindex: (of, args) => mustBeFound(place(of, args, true)),
  count(of, args) {
    const [wanted, start, end] = bind(args, 'sub', 'start?', 'end?');
    const within = part(of, start, end).text;
    return text(wanted, 'a text') === '' ? [...within].length + 1 : within.split(text(wanted, 'a text')).length - 1;
  },
  join: (of, args) =>
    listOf(bind(args, 'iterable')[0] as Value)
      .map((item) => text(item, 'a part'))
      .join(of),
  partition: (of, args) => partition(of, text(bind(args, 'sep')[0], 'a separator'), false),
  rpartition: (of, args) => partition(of, text(bind(args, 'sep')[0], 'a separator'), true),
  format: (of, { positional, named }) => braceFormat(of, (field) => picked(field, { positional, named })),
  zfill(of, args) {
    const sign = /^[+-]/.exec(of)?.[0] ?? '';
    return (
      sign + of.slice(sign.length).padStart(integerOf(bind(args, 'width')[0] as Value, 'a width') - sign.length, '0')
    );
  },
  ljust: padded('right'),
  rjust: padded('left'),
  center: padded('both'),
  isdigit: matching(/^\p{Nd}+$/u),
  isdecimal: matching(/^\p{Nd}+$/u),
  isnumeric: matching(/^\p{N}+$/u),
  isalpha: matching(/^\p{L}+$/u),
  isalnum: matching(/^[\p{L}\p{N}]+$/u),
  isspace: matching(new RegExp(`^[${SPACE}]+$`)),
  isascii: matching(/^[\x00-\x7f]*$/),
  isupper: (of) => /\p{Lu}/u.test(of) && !/\p{Ll}/u.test(of),
  islower: (of) => /\p{Ll}/u.test(of) && !/\p{Lu}/u.test(of),
};

/** Python's `str.replace`; `most` below 0: all. */
export function replaced(of: string, { old, by, most }: { old: string; by: string; most: number }): string {
  if (most < 0 && old !== '') return of.replaceAll(old, () => by);
  const parts = old === '' ? ['', ...of, ''] : of.split(old);
  const times = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  return (
    parts.slice(0, times + 1).join(by) +
    parts
      .slice(times + 1)
      .map((piece) => old + piece)
      .join('')
  );
}

/** A field of a format string: the name or number of an argument, then attributes and items of it. */
function picked(field: string, { positional, named }: Arguments): Value {
  const [, name = '', path = ''] = /^([^.[]*)(.*)$/s.exec(field) ?? [];
  const first = /^\d+$/.test(name) ? positional[Number(name)] : named.get(name);
  if (first === undefined) throw new JinjaError(`formats with no value for "${name}"`);
  let value = first;
  for (const [, attribute, item] of path.matchAll(/\.([^.[]+)|\[([^\]]*)\]/g)) {
    const key = item !== undefined && /^\d+$/.test(item) ? Number(item) : (item ?? attribute ?? '');
    const byAttribute = attribute === undefined ? undefined : attributeOf(value, attribute);
    const next = byAttribute === undefined ? itemOf(value, key) : byAttribute;
    if (next === undefined) throw new JinjaError(`formats with no value for "${field}"`);
    value = next;
  }
  return value;
}
