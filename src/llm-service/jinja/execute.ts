import { argumentsOf, call, evaluate, filtered } from './evaluate.ts';
import { Namespace } from './library.ts';
import { Loop } from './loop.ts';
import { Scope } from './scope.ts';
import type { Body, ForStatement, MacroParts, Statement, Target } from './syntax.ts';
import { str } from './text.ts';
import {
  type Arguments,
  Callable,
  Dict,
  isTrue,
  iterate,
  JinjaError,
  orUndefined,
  Tuple,
  Undefined,
  type Value,
} from './values.ts';
import { spend, spendOnMaking } from './work.ts';

/** How a body ended: at its end, or by a tag that leaves the loop around it or its round. */
type Ending = 'end' | 'break' | 'continue';

/** The text that a template's body prints under the names of a scope. */
export function execute(body: Body, scope: Scope): string {
  const out: string[] = [];
  run(body, scope, out);
  return out.join('');
}

function run(body: Body, scope: Scope, out: string[]): Ending {
  for (const statement of body) {
    const ending = runOne(statement, scope, out);
    if (ending !== 'end') return ending;
  }
  return 'end';
}

function runOne(statement: Statement, scope: Scope, out: string[]): Ending {
  spend(1);
  switch (statement.kind) {
    case 'text':
      print(statement.text, out);
      return 'end';
    case 'print':
      print(str(evaluate(statement.value, scope)), out);
      return 'end';
    case 'if': {
      const branch = statement.branches.find(({ test }) => isTrue(evaluate(test, scope)));
      return run(branch?.body ?? statement.otherwise, scope, out);
    }
    case 'for':
      out.push(loopOver(evaluate(statement.of, scope), statement, { scope, depth: 0 }));
      return 'end';
    case 'set':
      assign(statement.target, evaluate(statement.value, scope), scope);
      return 'end';
    case 'set-block':
      assign(statement.target, filtered(execute(statement.body, new Scope(scope)), statement.filters, scope), scope);
      return 'end';
    case 'filter-block':
      out.push(str(filtered(execute(statement.body, new Scope(scope)), statement.filters, scope)));
      return 'end';
    case 'macro':
      scope.set(statement.name, macro(statement.name, statement, scope));
      return 'end';
    case 'call-block': {
      const args = argumentsOf(statement.call.args, scope);
      const caller = macro('caller', statement, scope);
      const named = new Map(args.named).set('caller', caller);
      out.push(str(call(evaluate(statement.call.of, scope), { ...args, named })));
      return 'end';
    }
    case 'with': {
      const inner = new Scope(scope);
      for (const [target, value] of statement.bindings) assign(target, evaluate(value, scope), inner);
      return run(statement.body, inner, out);
    }
    case 'break':
    case 'continue':
      return statement.kind;
    default:
      return statement satisfies never;
  }
}

function print(text: string, out: string[]): void {
  spendOnMaking(text);
  out.push(text);
}

function loopOver(of: Value, statement: ForStatement, { scope, depth }: { scope: Scope; depth: number }): string {
  const out: string[] = [];
  spendOnMaking(of);
  const items = [...iterate(of)].filter((item) => passes(item, statement, scope));
  const recurse = statement.recursive
    ? (inner: Value) => loopOver(inner, statement, { scope, depth: depth + 1 })
    : undefined;
  const loop = new Loop(items, { depth, recurse });
  for (const item of items) {
    const round = new Scope(scope);
    loop.advance();
    round.set('loop', loop);
    assign(statement.target, item, round);
    if (run(statement.body, round, out) === 'break') break;
  }
  if (items.length === 0) run(statement.otherwise, new Scope(scope), out);
  return out.join('');
}

function passes(item: Value, { target, test }: ForStatement, scope: Scope): boolean {
  if (test === undefined) return true;
  const own = new Scope(scope);
  assign(target, item, own);
  return isTrue(evaluate(test, own));
}

function assign(target: Target, value: Value, scope: Scope): void {
  if (target.kind === 'name') scope.set(target.name, value);
  else if (target.kind === 'attribute') {
    const namespace = scope.get(target.of);
    if (!(namespace instanceof Namespace))
      throw new JinjaError(`sets "${target.of}.${target.name}", and it is no namespace`);
    namespace.set(target.name, value);
  } else {
    const values = [...iterate(value)];
    if (value instanceof Undefined || values.length !== target.items.length) {
      throw new JinjaError(`takes ${values.length} values for ${target.items.length} names`);
    }
    for (const [index, item] of target.items.entries()) assign(item, values[index] as Value, scope);
  }
}

function macro(name: string, { parameters, body, uses }: MacroParts, scope: Scope): Callable {
  const names = parameters.map((parameter) => parameter.name);
  return new Callable(name, ({ positional, named }: Arguments) => {
    const own = new Scope(scope);
    const rest = new Map(named);
    const special = (key: string, value: Value | undefined, isGiven: boolean) => {
      if (names.includes(key)) return;
      if (uses.has(key)) own.set(key, orUndefined(value, key));
      else if (isGiven) throw new JinjaError(`gives the macro "${name}" arguments that it does not take`);
    };
    special('varargs', new Tuple(positional.slice(names.length)), positional.length > names.length);
    for (const [index, parameter] of parameters.entries()) {
      const given = index < positional.length ? positional[index] : rest.get(parameter.name);
      if (index < positional.length && rest.has(parameter.name))
        throw new JinjaError(`gives "${parameter.name}" twice`);
      rest.delete(parameter.name);
      const otherwise = () => parameter.otherwise && evaluate(parameter.otherwise, own);
      own.set(parameter.name, orUndefined(given === undefined ? otherwise() : given, `parameter "${parameter.name}"`));
    }
    special('caller', rest.get('caller'), rest.has('caller'));
    rest.delete('caller');
    special('kwargs', new Dict(rest), rest.size > 0);
    return execute(body, own);
  });
}
