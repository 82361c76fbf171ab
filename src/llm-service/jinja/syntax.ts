import type { Value } from './values.ts';

export type Expression =
  | { readonly kind: 'constant'; readonly value: Value }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list' | 'tuple' | 'concatenation'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly of: Expression; readonly key: Expression }
  | ({ readonly kind: 'slice'; readonly of: Expression } & SliceBounds)
  | { readonly kind: 'call'; readonly of: Expression; readonly args: ArgumentList }
  | { readonly kind: 'filter' | 'test'; readonly of: Expression; readonly name: string; readonly args: ArgumentList }
  | { readonly kind: 'not'; readonly of: Expression }
  | { readonly kind: 'sign'; readonly operator: '+' | '-'; readonly of: Expression }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: 'arithmetic';
      readonly operator: Arithmetic;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'comparison'; readonly first: Expression; readonly rest: readonly Comparison[] }
  | {
      readonly kind: 'choice';
      readonly test: Expression;
      readonly chosen: Expression;
      readonly otherwise: Expression | undefined;
    };

export type Arithmetic = '+' | '-' | '*' | '/' | '//' | '%' | '**';

export interface Comparison {
  readonly operator: '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';
  readonly right: Expression;
}

export interface SliceBounds {
  readonly start: Expression | undefined;
  readonly stop: Expression | undefined;
  readonly step: Expression | undefined;
}

export interface ArgumentList {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  /** `*rest` and `**options`. */
  readonly spread: Expression | undefined;
  readonly namedSpread: Expression | undefined;
}

export interface FilterCall {
  readonly name: string;
  readonly args: ArgumentList;
}

/** What is assigned to: a name, an attribute of a namespace, or several. */
export type Target =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'attribute'; readonly of: string; readonly name: string }
  | { readonly kind: 'tuple'; readonly items: readonly Target[] };

export interface Parameter {
  readonly name: string;
  readonly otherwise: Expression | undefined;
}

export type Body = readonly Statement[];

export type Statement =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | {
      readonly kind: 'if';
      readonly branches: readonly { readonly test: Expression; readonly body: Body }[];
      readonly otherwise: Body;
    }
  | ForStatement
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: 'set-block';
      readonly target: Target;
      readonly filters: readonly FilterCall[];
      readonly body: Body;
    }
  | { readonly kind: 'filter-block'; readonly filters: readonly FilterCall[]; readonly body: Body }
  | ({ readonly kind: 'macro'; readonly name: string } & MacroParts)
  | ({ readonly kind: 'call-block'; readonly call: Expression & { readonly kind: 'call' } } & MacroParts)
  | { readonly kind: 'with'; readonly bindings: readonly (readonly [Target, Expression])[]; readonly body: Body }
  | { readonly kind: 'break' }
  | { readonly kind: 'continue' };

export interface MacroParts {
  readonly parameters: readonly Parameter[];
  readonly body: Body;
  /** The special names among `varargs`, `kwargs` and `caller` that the body uses: only then it takes such arguments. */
  readonly uses: ReadonlySet<string>;
}

export interface ForStatement {
  readonly kind: 'for';
  readonly target: Target;
  readonly of: Expression;
  readonly test: Expression | undefined;
  readonly recursive: boolean;
  readonly body: Body;
  readonly otherwise: Body;
}
