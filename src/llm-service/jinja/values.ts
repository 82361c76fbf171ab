/** What a template may meet: Python's values. A `str` is a string, an `int` a number, `None` is null, a `list` an array. */
export type Value =
  | string
  | number
  | boolean
  | null
  | Float
  | Undefined
  | readonly Value[]
  | Tuple
  | Dict
  | Lazy
  | Callable
  | Instance;

/** A template cannot be parsed, or fails where Python's Jinja2 fails too. The message is a clause for the operator. */
export class JinjaError extends Error {}

/** A Python `float`, apart from an `int`: `4 / 2` prints `2.0`. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A name, attribute or item that is not there: prints nothing, holds nothing, and fails in any other use. */
export class Undefined {
  readonly what: string;
  constructor(what: string) {
    this.what = what;
  }
  fail(): never {
    throw new JinjaError(`${this.what} is undefined`);
  }
}

/** None is a value; only what is absent becomes undefined. */
export function orUndefined(value: Value | undefined, what: string): Value {
  return value === undefined ? new Undefined(what) : value;
}

export class Tuple {
  readonly items: readonly Value[];
  /** Names of the items, where they have any. */
  readonly names: readonly string[];
  constructor(items: readonly Value[], names: readonly string[] = []) {
    this.items = items;
    this.names = names;
  }
}

/** A Python `dict`: any hashable value is a key, 1, 1.0 and True are the same one, order is that of insertion. */
export class Dict {
  readonly #entries = new Map<string | number | null, readonly [Value, Value]>();

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    for (const [key, value] of entries) this.set(key, value);
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.[1];
  }
  has(key: Value): boolean {
    return this.#entries.has(hashOf(key));
  }
  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    this.#entries.set(hash, [this.#entries.get(hash)?.[0] ?? key, value]);
  }
  entries(): (readonly [Value, Value])[] {
    return [...this.#entries.values()];
  }
  keys(): Value[] {
    return this.entries().map(([key]) => key);
  }
  values(): Value[] {
    return this.entries().map(([, value]) => value);
  }
}

/** A Python generator, as `map` and `selectattr` give: true even if empty, without a length, read once. */
export class Lazy {
  readonly #values: Iterator<Value>;
  constructor(values: Iterator<Value>) {
    this.#values = values;
  }
  next(): IteratorResult<Value> {
    return this.#values.next();
  }
  *[Symbol.iterator](): Iterator<Value> {
    // Not `yield*`: leaving a loop early must not end the generator.
    for (let step = this.next(); !step.done; step = this.next()) yield step.value;
  }
}

export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

export class Callable {
  readonly name: string;
  readonly call: (args: Arguments) => Value;
  constructor(name: string, call: (args: Arguments) => Value) {
    this.name = name;
    this.call = call;
  }
}

/** An object with attributes of its own, such as `loop` and a namespace. */
export abstract class Instance {
  abstract readonly type: string;
  abstract attribute(name: string): Value | undefined;
}

function hashOf(key: Value): string | number | null {
  if (typeof key === 'string') return `s${key}`;
  if (typeof key === 'number' || key === null) return key;
  if (typeof key === 'boolean') return Number(key);
  if (key instanceof Float) return key.value;
  if (key instanceof Tuple) return `t${JSON.stringify(key.items.map(hashOf))}`;
  if (key instanceof Undefined) return 'undefined';
  throw new JinjaError(`uses a ${typeName(key)} as a key`);
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function typeName(value: Value): string {
  if (typeof value === 'string') return 'str';
  if (typeof value === 'number') return 'int';
  if (typeof value === 'boolean') return 'bool';
  if (value === null) return 'None';
  if (value instanceof Float) return 'float';
  if (value instanceof Undefined) return 'undefined value';
  if (isList(value)) return 'list';
  if (value instanceof Tuple) return 'tuple';
  if (value instanceof Dict) return 'dict';
  if (value instanceof Lazy) return 'generator';
  if (value instanceof Callable) return 'function';
  return value.type;
}

export function isTrue(value: Value): boolean {
  if (typeof value === 'string' || isList(value)) return value.length > 0;
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof Tuple) return value.items.length > 0;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof Undefined) return false;
  return typeof value === 'object' ? value !== null : Boolean(value);
}

export function iterate(value: Value): Iterable<Value> {
  const values = iterableOf(value);
  if (values === undefined) throw new JinjaError(`loops over a ${typeName(value)}`);
  return values;
}

/** `undefined` for what Python cannot loop over. A string gives its characters, a dict its keys, an undefined value nothing. */
export function iterableOf(value: Value): Iterable<Value> | undefined {
  if (typeof value === 'string' || isList(value) || value instanceof Lazy) return value;
  if (value instanceof Tuple) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof Undefined) return [];
  return undefined;
}

/** Characters are code points, as in Python. */
export function lengthOf(value: Value): number {
  if (value instanceof Lazy || iterableOf(value) === undefined)
    throw new JinjaError(`a ${typeName(value)} has no length`);
  return value instanceof Dict ? value.size : [...iterate(value)].length;
}

/** A number's value, where it is one: True counts as 1. */
export function numberOf(value: Value): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  return value instanceof Float ? value.value : undefined;
}

export function integerOf(value: Value, what: string): number {
  const number = value instanceof Float ? undefined : numberOf(value);
  if (number !== undefined) return number;
  if (value instanceof Undefined) value.fail();
  throw new JinjaError(`takes a ${typeName(value)} for ${what}, which must be an int`);
}

/** JSON as Python reads it; functions get their arguments as {@link Arguments}. */
export function fromJson(value: unknown): Value {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? value : new Float(value);
  if (Array.isArray(value)) return value.map(fromJson);
  if (value instanceof Callable) return value;
  if (typeof value === 'object') {
    const known = Object.entries(value).filter(([, item]) => item !== undefined);
    return new Dict(known.map(([key, item]) => [key, fromJson(item)] as const));
  }
  throw new TypeError(`a template cannot take a ${typeof value}`);
}
