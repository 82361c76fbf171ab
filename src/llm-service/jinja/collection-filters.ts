import { bind } from './arguments.ts';
import { getItem } from './lookup.ts';
import { attributeOf } from './methods.ts';
import { calculate, compare, equal, lazily, listOf } from './operators.ts';
import { str } from './text.ts';
import type { Filter } from './text-filters.ts';
import {
  type Arguments,
  Dict,
  integerOf,
  isTrue,
  iterate,
  JinjaError,
  Lazy,
  lengthOf,
  orUndefined,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';
import { spend } from './work.ts';

/** Filters and tests by name, for the filters that take the name of another. */
export interface Library {
  filter(name: string): Filter;
  test(name: string): (of: Value, args: Arguments) => boolean;
}

export function collectionFilters(library: Library): Readonly<Record<string, Filter>> {
  const selecting =
    (options: { wanted: boolean; byAttribute: boolean }): Filter =>
    (of, args) =>
      lazily(selected(of, args, options));

  function* selected(of: Value, args: Arguments, options: { wanted: boolean; byAttribute: boolean }): Iterable<Value> {
    if (!isTrue(of)) return;
    const attribute = options.byAttribute ? args.positional[0] : undefined;
    const others = options.byAttribute ? args.positional.slice(1) : args.positional;
    if (options.byAttribute && attribute === undefined) throw new JinjaError('selects by no attribute');
    const [name, ...positional] = others;
    const test =
      name === undefined ? isTrue : (value: Value) => library.test(str(name))(value, { positional, named: args.named });
    for (const item of iterate(of)) {
      if (test(attribute === undefined ? item : valueAt(item, attribute)) === options.wanted) yield item;
    }
  }

  function* mapped(of: Value, { positional, named }: Arguments): Iterable<Value> {
    if (!isTrue(of)) return;
    const attribute = named.get('attribute');
    const [name, ...rest] = positional;
    if (attribute === undefined && name === undefined) throw new JinjaError('maps by no filter');
    for (const item of iterate(of)) {
      yield attribute !== undefined
        ? valueAt(item, attribute, named.get('default'))
        : library.filter(str(name as Value))(item, { positional: rest, named });
    }
  }

  return {
    ...PLAIN,
    map: (of, args) => lazily(mapped(of, args)),
    select: selecting({ wanted: true, byAttribute: false }),
    reject: selecting({ wanted: false, byAttribute: false }),
    selectattr: selecting({ wanted: true, byAttribute: true }),
    rejectattr: selecting({ wanted: false, byAttribute: true }),
  };
}

/** `a.b.0` of a value. */
function valueAt(item: Value, path: Value, otherwise?: Value): Value {
  if (path === null) return item;
  let value = item;
  for (const name of typeof path === 'number' ? [path] : str(path).split('.')) {
    value = getItem(value, typeof name === 'string' && /^\d+$/.test(name) ? Number(name) : name);
    if (otherwise !== undefined && value instanceof Undefined) value = otherwise;
  }
  return value;
}

/** What text is ordered and compared by, where the case does not count. */
function folded(value: Value, caseSensitive: boolean): Value {
  return typeof value === 'string' && !caseSensitive ? value.toLowerCase() : value;
}

function sorted<T>(items: readonly T[], keyOf: (item: T) => Value, descending = false): T[] {
  const keyed = items.map((item) => ({ item, key: keyOf(item) }));
  return keyed.sort((a, b) => (descending ? compare(b.key, a.key) : compare(a.key, b.key))).map(({ item }) => item);
}

function extreme(sign: 1 | -1): Filter {
  return (of, args) => {
    const [caseSensitive = false, attribute = null] = bind(args, 'case_sensitive?', 'attribute?');
    const items = listOf(of);
    const keyOf = (item: Value) => folded(valueAt(item, attribute), isTrue(caseSensitive));
    if (items.length === 0) return new Undefined('an item of an empty sequence');
    return items.reduce((best, item) => (sign * compare(keyOf(item), keyOf(best)) > 0 ? item : best));
  };
}

const PLAIN: Readonly<Record<string, Filter>> = {
  default: otherwise,
  d: otherwise,
  length: lengthOf,
  count: lengthOf,
  list: (of) => [...listOf(of)],
  attr(of, args) {
    const name = str(bind(args, 'name')[0] as Value);
    return orUndefined(attributeOf(of, name), `attribute ${name} of a ${typeName(of)}`);
  },
  max: extreme(1),
  min: extreme(-1),
  first: (of) => firstOf(iterate(of), 'the first item of an empty sequence'),
  last: (of) => firstOf([...reversible(of)].reverse(), 'the last item of an empty sequence'),
  reverse: (of) => (typeof of === 'string' ? [...of].reverse().join('') : lazily([...reversible(of)].reverse())),
  items(of) {
    if (of instanceof Undefined) return lazily([]);
    if (of instanceof Dict) return lazily(of.entries().map((entry) => new Tuple(entry)));
    throw new JinjaError(`asks for the items of a ${typeName(of)}`);
  },
  join(of, args) {
    const [separator = '', attribute = null] = bind(args, 'd?', 'attribute?');
    return listOf(of)
      .map((item) => str(valueAt(item, attribute)))
      .join(str(separator));
  },
  sum(of, args) {
    const [attribute = null, start = 0] = bind(args, 'attribute?', 'start?');
    return listOf(of).reduce<Value>((total, item) => calculate('+', total, valueAt(item, attribute)), start);
  },
  sort(of, args) {
    const [reverse = false, caseSensitive = false, attribute = null] = bind(
      args,
      'reverse?',
      'case_sensitive?',
      'attribute?',
    );
    const paths = typeof attribute === 'string' ? attribute.split(',') : [attribute];
    const keyOf = (item: Value) => paths.map((path) => folded(valueAt(item, path), isTrue(caseSensitive)));
    return sorted(listOf(of), keyOf, isTrue(reverse));
  },
  dictsort(of, args) {
    const [caseSensitive = false, by = 'key', reverse = false] = bind(args, 'case_sensitive?', 'by?', 'reverse?');
    if (!(of instanceof Dict)) throw new JinjaError(`sorts a ${typeName(of)} as a dict`);
    const keyOf = ([key, value]: readonly [Value, Value]) =>
      folded(by === 'value' ? value : key, isTrue(caseSensitive));
    return sorted(of.entries(), keyOf, isTrue(reverse)).map((entry) => new Tuple(entry));
  },
  unique(of, args) {
    const [caseSensitive = false, attribute = null] = bind(args, 'case_sensitive?', 'attribute?');
    const seen = new Dict();
    const isNew = (item: Value) => {
      const key = folded(valueAt(item, attribute), isTrue(caseSensitive));
      const known = seen.has(key);
      seen.set(key, true);
      return !known;
    };
    return lazily(listOf(of).filter(isNew));
  },
  groupby(of, args) {
    const [attribute, fallback, caseSensitive = false] = bind(args, 'attribute', 'default?', 'case_sensitive?');
    const attributeIn = (item: Value) => valueAt(item, attribute as Value, fallback);
    const keyOf = (item: Value) => folded(attributeIn(item), isTrue(caseSensitive));
    const groups: { key: Value; items: Value[] }[] = [];
    for (const item of sorted(listOf(of), keyOf)) {
      const last = groups.at(-1);
      if (last !== undefined && equal(last.key, keyOf(item))) last.items.push(item);
      else groups.push({ key: keyOf(item), items: [item] });
    }
    return groups.map(({ items }) => new Tuple([attributeIn(items[0] as Value), items], ['grouper', 'list']));
  },
  batch(of, args) {
    const [size, fill = null] = bind(args, 'linecount', 'fill_with?');
    const count = integerOf(size as Value, 'a size');
    if (fill !== null) spend(count);
    const rows: Value[][] = [];
    for (const item of iterate(of)) {
      const row = rows.at(-1);
      if (row === undefined || row.length === count) rows.push([item]);
      else row.push(item);
    }
    const last = rows.at(-1);
    while (fill !== null && last !== undefined && last.length < count) last.push(fill);
    return lazily(rows);
  },
  slice(of, args) {
    const [slices, fill = null] = bind(args, 'slices', 'fill_with?');
    const [items, count] = [listOf(of), integerOf(slices as Value, 'a number of slices')];
    spend(count);
    const [size, longer] = [Math.floor(items.length / count), items.length % count];
    const starts = Array.from({ length: count + 1 }, (_, index) => index * size + Math.min(index, longer));
    const row = (index: number) => items.slice(starts[index], starts[index + 1]);
    return lazily(
      Array.from({ length: count }, (_, index) =>
        fill !== null && index >= longer && longer > 0 ? [...row(index), fill] : row(index),
      ),
    );
  },
};

function otherwise(of: Value, args: Arguments): Value {
  const [value = '', falsy = false] = bind(args, 'default_value?', 'boolean?');
  return of instanceof Undefined || (isTrue(falsy) && !isTrue(of)) ? value : of;
}

/** Python reverses sequences and dicts; a generator has no end to begin at. */
function reversible(of: Value): readonly Value[] {
  if (of instanceof Lazy) throw new JinjaError('looks at the end of a generator');
  return listOf(of);
}

function firstOf(items: Iterable<Value>, what: string): Value {
  const first = items[Symbol.iterator]().next();
  return first.done ? new Undefined(what) : first.value;
}
