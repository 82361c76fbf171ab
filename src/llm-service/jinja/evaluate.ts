import { LIBRARY } from './library.ts';
import { getAttribute, getItem } from './lookup.ts';
import { calculate, holds, signed, sliceOf } from './operators.ts';
import type { Scope } from './scope.ts';
import type { ArgumentList, Expression, FilterCall } from './syntax.ts';
import { str } from './text.ts';
import {
  type Arguments,
  Callable,
  Dict,
  isTrue,
  iterate,
  JinjaError,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';
import { spend, spendOnMaking, spendOnReading } from './work.ts';

/** Expressions whose value is made, and may be larger than what it is made of. */
const MAKING: ReadonlySet<Expression['kind']> = new Set(['concatenation', 'slice', 'call', 'filter', 'arithmetic']);

/** The value of an expression under the names of a scope. Throws JinjaError where Jinja2 raises. */
export function evaluate(expression: Expression, scope: Scope): Value {
  spend(1);
  const value = valueUnder(expression, scope);
  if (MAKING.has(expression.kind)) spendOnMaking(value);
  return value;
}

function valueUnder(expression: Expression, scope: Scope): Value {
  const valueIn = (part: Expression) => evaluate(part, scope);
  const readIn = (part: Expression) => {
    const value = valueIn(part);
    spendOnReading(value);
    return value;
  };
  const ofText = (part: Expression) => {
    const value = valueIn(part);
    if (typeof value === 'string') spendOnReading(value);
    return value;
  };
  switch (expression.kind) {
    case 'constant':
      return expression.value;
    case 'name':
      return scope.get(expression.name);
    case 'list':
      return expression.items.map(valueIn);
    case 'tuple':
      return new Tuple(expression.items.map(valueIn));
    case 'dict':
      return new Dict(expression.entries.map(([key, value]) => [valueIn(key), valueIn(value)] as const));
    case 'concatenation':
      return expression.items.map((item) => str(valueIn(item))).join('');
    case 'attribute':
      return getAttribute(ofText(expression.of), expression.name);
    case 'item':
      return getItem(ofText(expression.of), valueIn(expression.key));
    case 'slice': {
      const bound = (part: Expression | undefined) => part && valueIn(part);
      const { of, start, stop, step } = expression;
      return sliceOf(valueIn(of), { start: bound(start), stop: bound(stop), step: bound(step) });
    }
    case 'call':
      return call(valueIn(expression.of), argumentsOf(expression.args, scope));
    case 'filter':
      return filtered(readIn(expression.of), [expression], scope);
    case 'test':
      return LIBRARY.test(expression.name)(readIn(expression.of), argumentsOf(expression.args, scope));
    case 'not':
      return !isTrue(valueIn(expression.of));
    case 'sign':
      return signed(expression.operator, valueIn(expression.of));
    case 'and': {
      const left = valueIn(expression.left);
      return isTrue(left) ? valueIn(expression.right) : left;
    }
    case 'or': {
      const left = valueIn(expression.left);
      return isTrue(left) ? left : valueIn(expression.right);
    }
    case 'arithmetic':
      return calculate(expression.operator, valueIn(expression.left), valueIn(expression.right));
    case 'comparison': {
      let left = ofText(expression.first);
      for (const { operator, right } of expression.rest) {
        const value = ofText(right);
        if (!holds(operator, left, value)) return false;
        left = value;
      }
      return true;
    }
    case 'choice':
      if (isTrue(valueIn(expression.test))) return valueIn(expression.chosen);
      return expression.otherwise === undefined
        ? new Undefined('an "if" without "else"')
        : valueIn(expression.otherwise);
    default:
      return expression satisfies never;
  }
}

export function call(value: Value, args: Arguments): Value {
  if (value instanceof Callable) return value.call(args);
  if (value instanceof Undefined) value.fail();
  const callee =
    typeof value === 'object' && value !== null && 'attribute' in value ? value.attribute('()') : undefined;
  if (callee instanceof Callable) return callee.call(args);
  throw new JinjaError(`calls a ${typeName(value)}`);
}

export function filtered(value: Value, filters: readonly FilterCall[], scope: Scope): Value {
  return filters.reduce((of, { name, args }) => LIBRARY.filter(name)(of, argumentsOf(args, scope)), value);
}

export function argumentsOf(list: ArgumentList, scope: Scope): Arguments {
  const positional = list.positional.map((part) => evaluate(part, scope));
  if (list.spread !== undefined) positional.push(...iterate(evaluate(list.spread, scope)));
  const named = new Map(list.named.map(([name, part]) => [name, evaluate(part, scope)]));
  if (list.namedSpread !== undefined) {
    const more = evaluate(list.namedSpread, scope);
    if (!(more instanceof Dict)) throw new JinjaError(`spreads a ${typeName(more)} as named arguments`);
    for (const [name, value] of more.entries()) named.set(str(name), value);
  }
  return { positional, named };
}
