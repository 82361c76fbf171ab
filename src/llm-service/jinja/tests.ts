import { bind } from './arguments.ts';
import { calculate, equal, holds } from './operators.ts';
import type { Comparison } from './syntax.ts';
import { str } from './text.ts';
import { type Arguments, Callable, Dict, Float, iterableOf, Lazy, numberOf, Undefined, type Value } from './values.ts';

export type Test = (of: Value, args: Arguments) => boolean;

const comparing =
  (operator: Comparison['operator']): Test =>
  (of, args) =>
    holds(operator, of, bind(args, 'other')[0] as Value);

const remainder = (of: Value, divisor: Value) => calculate('%', of, divisor);
const cased = (of: Value, change: (text: string) => string) => str(of) === change(str(of)) && /\p{L}/u.test(str(of));

export const TESTS: Readonly<Record<string, Test>> = {
  defined: (of) => !(of instanceof Undefined),
  undefined: (of) => of instanceof Undefined,
  none: (of) => of === null,
  boolean: (of) => typeof of === 'boolean',
  true: (of) => of === true,
  false: (of) => of === false,
  integer: (of) => typeof of === 'number',
  float: (of) => of instanceof Float,
  number: (of) => numberOf(of) !== undefined,
  string: (of) => typeof of === 'string',
  mapping: (of) => of instanceof Dict,
  iterable: (of) => iterableOf(of) !== undefined,
  sequence: (of) => iterableOf(of) !== undefined && !(of instanceof Lazy),
  callable: (of) => of instanceof Callable || of instanceof Undefined,
  escaped: () => false,
  lower: (of) => cased(of, (text) => text.toLowerCase()),
  upper: (of) => cased(of, (text) => text.toUpperCase()),
  even: (of) => equal(remainder(of, 2), 0),
  odd: (of) => equal(remainder(of, 2), 1),
  divisibleby: (of, args) => equal(remainder(of, bind(args, 'num')[0] as Value), 0),
  sameas(of, args) {
    const other = bind(args, 'other')[0] as Value;
    return of === other;
  },
  in: comparing('in'),
  eq: comparing('=='),
  equalto: comparing('=='),
  '==': comparing('=='),
  ne: comparing('!='),
  '!=': comparing('!='),
  lt: comparing('<'),
  lessthan: comparing('<'),
  '<': comparing('<'),
  le: comparing('<='),
  '<=': comparing('<='),
  gt: comparing('>'),
  greaterthan: comparing('>'),
  '>': comparing('>'),
  ge: comparing('>='),
  '>=': comparing('>='),
};
