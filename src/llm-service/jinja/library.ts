import { bind } from './arguments.ts';
import { collectionFilters, type Library } from './collection-filters.ts';
import { TESTS } from './tests.ts';
import { type Filter, TEXT_FILTERS } from './text-filters.ts';
import {
  type Arguments,
  Callable,
  Dict,
  Instance,
  integerOf,
  isTrue,
  iterate,
  JinjaError,
  type Value,
} from './values.ts';

/** The longest `range` of Jinja2's sandbox. */
const RANGE_MAX = 100_000;

/** Jinja2's filters and tests, and transformers' `tojson`. */
export const LIBRARY: Library = {
  filter(name) {
    const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
    if (filter === undefined) throw new JinjaError(`uses the filter "${name}", which is not known`);
    return filter;
  },
  test(name) {
    if (name === 'filter') return (of) => typeof of === 'string' && Object.hasOwn(FILTERS, of);
    if (name === 'test') return (of) => typeof of === 'string' && Object.hasOwn(TESTS, of);
    const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
    if (test === undefined) throw new JinjaError(`uses the test "${name}", which is not known`);
    return test;
  },
};

const FILTERS: Readonly<Record<string, Filter>> = { ...TEXT_FILTERS, ...collectionFilters(LIBRARY) };

/** What every template can call. */
export function globalNames(): Map<string, Value> {
  const functions = [
    new Callable('range', range),
    new Callable('dict', (args) => dictOf(args)),
    new Callable('namespace', (args) => new Namespace(dictOf(args))),
    new Callable('cycler', ({ positional }) => new Cycler(positional)),
    new Callable('joiner', (args) => joiner(bind(args, 'sep?')[0] ?? ', ')),
  ];
  return new Map(functions.map((value) => [value.name, value]));
}

function range({ positional }: Arguments): Value {
  const [first = 0, second, third] = positional.map((value) => integerOf(value, 'a range'));
  const [start, stop, step] = second === undefined ? [0, first, 1] : [first, second, third ?? 1];
  if (step === 0) throw new JinjaError('makes a range with step 0');
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > RANGE_MAX) throw new JinjaError(`makes a range longer than ${RANGE_MAX}`);
  return Array.from({ length }, (_, index) => start + index * step);
}

function dictOf({ positional, named }: Arguments): Dict {
  const dict = new Dict();
  for (const source of positional) {
    const entries = source instanceof Dict ? source.entries() : [...iterate(source)].map((pair) => [...iterate(pair)]);
    for (const [key, value] of entries) dict.set(key as Value, value as Value);
  }
  for (const [name, value] of named) dict.set(name, value);
  return dict;
}

/** The one value that a template can change: `{% set ns.found = true %}`. */
export class Namespace extends Instance {
  readonly type = 'Namespace';
  readonly #values: Dict;
  constructor(values: Dict) {
    super();
    this.#values = values;
  }
  attribute(name: string): Value | undefined {
    return this.#values.get(name);
  }
  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }
}

class Cycler extends Instance {
  readonly type = 'Cycler';
  readonly #items: readonly Value[];
  #at = 0;
  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new JinjaError('cycles through nothing');
    this.#items = items;
  }
  attribute(name: string): Value | undefined {
    const current = this.#items[this.#at] as Value;
    if (name === 'current') return current;
    if (name === 'reset') return new Callable(name, () => this.#go(0));
    if (name !== 'next') return undefined;
    return new Callable(name, () => {
      this.#go((this.#at + 1) % this.#items.length);
      return current;
    });
  }
  #go(at: number): Value {
    this.#at = at;
    return null;
  }
}

function joiner(separator: Value): Callable {
  let used = false;
  return new Callable('joiner', () => {
    const text = used ? separator : '';
    used = true;
    return isTrue(text) ? text : '';
  });
}
