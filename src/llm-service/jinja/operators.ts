import { percentFormat } from './format.ts';
import type { Arithmetic, Comparison } from './syntax.ts';
import {
  Dict,
  Float,
  integerOf,
  isList,
  iterableOf,
  JinjaError,
  Lazy,
  numberOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';
import { spend } from './work.ts';

export function calculate(operator: Arithmetic, left: Value, right: Value): Value {
  if (operator === '%' && typeof left === 'string') return percentFormat(left, right);
  for (const side of [left, right]) if (side instanceof Undefined) side.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) {
    const value = calculateNumbers(operator, a, b);
    const isFloat = left instanceof Float || right instanceof Float || operator === '/' || (operator === '**' && b < 0);
    return isFloat ? new Float(value) : value;
  }
  if (operator === '+') {
    if (typeof left === 'string' && typeof right === 'string') return left + right;
    if (isList(left) && isList(right)) return [...left, ...right];
    if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items]);
  }
  if (operator === '*') {
    if (a !== undefined && !(left instanceof Float)) return repeat(right, a) ?? unsupported(operator, left, right);
    if (b !== undefined && !(right instanceof Float)) return repeat(left, b) ?? unsupported(operator, left, right);
  }
  return unsupported(operator, left, right);
}

function calculateNumbers(operator: Arithmetic, a: number, b: number): number {
  if (b === 0 && ['/', '//', '%'].includes(operator)) throw new JinjaError('divides by zero');
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return a / b;
    case '//':
      return Math.floor(a / b);
    case '%':
      return a - b * Math.floor(a / b);
    case '**':
      return a ** b;
    default:
      return operator satisfies never;
  }
}

function repeat(value: Value, times: number): Value | undefined {
  const count = Math.max(0, times);
  const items = value instanceof Tuple ? value.items : value;
  if (typeof items === 'string' || isList(items)) spend(items.length * count);
  if (typeof value === 'string') return value.repeat(count);
  if (isList(value)) return Array.from({ length: count }, () => value).flat(1) as Value[];
  if (value instanceof Tuple) return new Tuple(repeat(value.items, count) as readonly Value[]);
  return undefined;
}

function unsupported(operator: string, left: Value, right: Value): never {
  throw new JinjaError(`uses ${operator} between a ${typeName(left)} and a ${typeName(right)}`);
}

export function signed(operator: '+' | '-', value: Value): Value {
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value);
  if (number === undefined) throw new JinjaError(`uses ${operator} before a ${typeName(value)}`);
  const result = operator === '-' ? 0 - number : number;
  return value instanceof Float ? new Float(operator === '-' ? -number : number) : result;
}

export function holds(operator: Comparison['operator'], left: Value, right: Value): boolean {
  switch (operator) {
    case '==':
      return equal(left, right);
    case '!=':
      return !equal(left, right);
    case 'in':
      return contains(right, left);
    case 'not in':
      return !contains(right, left);
    case '<':
      return compare(left, right) < 0;
    case '<=':
      return compare(left, right) <= 0;
    case '>':
      return compare(left, right) > 0;
    case '>=':
      return compare(left, right) >= 0;
    default:
      return operator satisfies never;
  }
}

export function equal(left: Value, right: Value): boolean {
  spend(1);
  if (left === right) return true;
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined || b !== undefined) return a === b;
  if (isList(left) && isList(right)) return sameItems(left, right);
  if (left instanceof Tuple && right instanceof Tuple) return sameItems(left.items, right.items);
  if (left instanceof Dict && right instanceof Dict) {
    return (
      left.size === right.size &&
      left.entries().every(([key, item]) => right.has(key) && equal(item, right.get(key) as Value))
    );
  }
  return left instanceof Undefined && right instanceof Undefined;
}

function sameItems(left: readonly Value[], right: readonly Value[]): boolean {
  return left.length === right.length && left.every((item, index) => equal(item, right[index] as Value));
}

/** Negative, 0 or positive; throws for what Python cannot order. */
export function compare(left: Value, right: Value): number {
  for (const side of [left, right]) if (side instanceof Undefined) side.fail();
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return a - b;
  if (typeof left === 'string' && typeof right === 'string') return compareText(left, right);
  const items = isList(left) && isList(right) ? [left, right] : undefined;
  const tuples = left instanceof Tuple && right instanceof Tuple ? [left.items, right.items] : undefined;
  const [first, second] = items ?? tuples ?? unsupported('<', left, right);
  const at =
    first?.findIndex((item, index) => index >= (second?.length ?? 0) || !equal(item, second?.[index] as Value)) ?? -1;
  if (at < 0) return (first?.length ?? 0) - (second?.length ?? 0);
  return at >= (second?.length ?? 0) ? 1 : compare(first?.[at] as Value, second?.[at] as Value);
}

/** By code points; JavaScript's own order is by UTF-16 units. */
function compareText(left: string, right: string): number {
  const [a, b] = [[...left], [...right]];
  const at = a.findIndex((character, index) => character !== b[index]);
  if (at < 0) return a.length - b.length;
  return (a[at]?.codePointAt(0) ?? -1) - (b[at]?.codePointAt(0) ?? -1);
}

export function contains(container: Value, item: Value): boolean {
  if (typeof container === 'string') {
    if (typeof item === 'string') return container.includes(item);
    throw new JinjaError(`looks for a ${typeName(item)} in a str`);
  }
  if (container instanceof Dict) return container.has(item);
  const items = iterableOf(container);
  if (items === undefined) throw new JinjaError(`looks for something in a ${typeName(container)}`);
  for (const candidate of items) if (equal(candidate, item)) return true;
  return false;
}

/** `container[key]` without looking at attributes: `undefined` where there is none. */
export function itemOf(container: Value, key: Value): Value | undefined {
  if (container instanceof Dict) return container.get(key);
  const index = key instanceof Float ? undefined : numberOf(key);
  if (index === undefined) return undefined;
  const items = typeof container === 'string' ? [...container] : sequenceOf(container);
  return items?.at(index);
}

function sequenceOf(value: Value): readonly Value[] | undefined {
  return value instanceof Tuple ? value.items : isList(value) ? value : undefined;
}

export function sliceOf(
  value: Value,
  bounds: { readonly start: Value | undefined; readonly stop: Value | undefined; readonly step: Value | undefined },
): Value {
  if (value instanceof Undefined) value.fail();
  const items = typeof value === 'string' ? [...value] : sequenceOf(value);
  // Jinja2 asks for the item "slice(…)", and nothing has it.
  if (items === undefined) return new Undefined(`a slice of a ${typeName(value)}`);
  const given = (bound: Value | undefined) =>
    bound === undefined || bound === null ? undefined : integerOf(bound, 'a slice');
  const step = given(bounds.step) ?? 1;
  if (step === 0) throw new JinjaError('takes a slice with step 0');
  const [lowest, highest] = step > 0 ? [0, items.length] : [-1, items.length - 1];
  const place = (bound: number | undefined, otherwise: number) =>
    bound === undefined ? otherwise : Math.min(Math.max(bound < 0 ? bound + items.length : bound, lowest), highest);
  const start = place(given(bounds.start), step > 0 ? lowest : highest);
  const stop = place(given(bounds.stop), step > 0 ? highest : lowest);
  const picked: Value[] = [];
  for (let index = start; step > 0 ? index < stop : index > stop; index += step) picked.push(items[index] as Value);
  if (typeof value === 'string') return picked.join('');
  return value instanceof Tuple ? new Tuple(picked) : picked;
}

/** The values of anything that can be looped over, as a list. */
export function listOf(value: Value): readonly Value[] {
  if (isList(value)) return value;
  const values = iterableOf(value);
  if (values === undefined) throw new JinjaError(`makes a list of a ${typeName(value)}`);
  return [...values];
}

export function lazily(values: Iterable<Value>): Lazy {
  return new Lazy(values[Symbol.iterator]());
}
