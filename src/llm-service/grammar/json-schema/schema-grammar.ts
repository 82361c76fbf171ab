import { DiscedgeError } from '../../../domain/errors.ts';
import { grammarProblem } from '../grammar-check.ts';
import { anyKeyBut } from './any-key-but.ts';
import { GrammarRules, literal, repeated } from './grammar-rules.ts';
import { integerRange } from './integer-range.ts';
import { FORMATS } from './json-rules.ts';
import {
  asSchema,
  checkKeywords,
  constrains,
  countOf,
  numberOf,
  resolveReference,
  type Schema,
  SchemaProblem,
} from './schema-keywords.ts';
import { mergeAll } from './schema-merge.ts';
import { isOfType, type TypeName, typesOf } from './schema-types.ts';

/**
 * GBNF of the JSON texts that a JSON Schema allows, or of a part of them: the properties that are named come in their
 * order, those that must be there first, and others only where `additionalProperties` names them. Throws `invalid_request`
 * for a schema that a grammar cannot express, or whose grammar llama.cpp would not survive.
 */
export function schemaGrammar(schema: unknown): string {
  try {
    const root = asSchema(schema, '#');
    const grammar = new SchemaGrammar(root).text();
    const problem = grammarProblem(grammar);
    if (problem !== undefined) throw new SchemaProblem('#', `its grammar cannot be used: ${problem}`);
    return grammar;
  } catch (error) {
    if (!(error instanceof SchemaProblem)) throw error;
    const message = `json_schema cannot be made into a grammar, ${error.message}`;
    throw new DiscedgeError('invalid_request', message, { param: 'json_schema', cause: error });
  }
}

/** A schema of a few KiB can refer to itself from everywhere; each place is written out once for each rule. */
const PLACES_MAX = 2_000;

/** Parentheses of the rule for any other name nest as deep as a name is long. */
const NAME_LENGTH_MAX = 60;

class SchemaGrammar {
  readonly #root: Schema;
  readonly #rules = new GrammarRules();
  readonly #references = new Map<string, string>();
  #places = 0;

  constructor(root: Schema) {
    this.#root = root;
  }

  text(): string {
    // Any JSON value is what `{}` allows, and an object what is meant by it.
    const isEmpty = Object.keys(this.#root).length === 0;
    this.#rules.define('root', isEmpty ? this.#rules.common('object') : this.#schema(this.#root, '#'));
    return this.#rules.text;
  }

  /** What stands for a schema in a rule. */
  #schema(schema: Schema, at: string): string {
    if (++this.#places > PLACES_MAX) throw new SchemaProblem('#', `it has more than ${PLACES_MAX} places`);
    checkKeywords(schema, at);
    if (schema.$ref !== undefined) return this.#reference(schema, at);
    if (schema.allOf !== undefined) {
      const { allOf, ...rest } = schema;
      const merged = mergeAll([rest, ...this.#all(allOf, at)], at);
      return this.#schema(merged, at);
    }
    const choices = schema.anyOf ?? schema.oneOf;
    if (choices !== undefined) return this.#choice(schema, choices, at);
    if (schema.const !== undefined) return literal(JSON.stringify(schema.const));
    if (schema.enum !== undefined) return this.#enumeration(schema, at);
    const types = typesOf(schema, at);
    if (types.length === 0) return this.#rules.common('value');
    const ways = types.map((type) => this.#ofType(type, schema, at));
    return ways.length === 1 ? (ways[0] as string) : `(${ways.join(' | ')})`;
  }

  #reference(schema: Schema, at: string): string {
    const { $ref } = schema;
    const target = asSchema(resolveReference(this.#root, $ref, at), at);
    const { $ref: _, ...beside } = schema;
    if (constrains(beside)) return this.#schema(mergeAll([beside, this.#plain(target, at)], at), at);
    const known = this.#references.get($ref as string);
    if (known !== undefined) return known;
    const name = this.#rules.newName();
    this.#references.set($ref as string, name);
    this.#rules.define(name, this.#schema(target, $ref as string));
    return name;
  }

  #all(allOf: unknown, at: string): Schema[] {
    if (!Array.isArray(allOf) || allOf.length === 0) throw new SchemaProblem(at, 'allOf is a list of schemas');
    return allOf.map((part, i) => this.#plain(asSchema(part, `${at}/allOf/${i}`), at));
  }

  /** Without a reference or `allOf` of its own, so that it can be merged. */
  #plain(schema: Schema, at: string): Schema {
    if (++this.#places > PLACES_MAX) throw new SchemaProblem('#', `it has more than ${PLACES_MAX} places`);
    checkKeywords(schema, at);
    const { $ref, allOf, ...rest } = schema;
    const parts: Schema[] = [rest];
    if ($ref !== undefined) parts.push(this.#plain(asSchema(resolveReference(this.#root, $ref, at), at), at));
    if (allOf !== undefined) parts.push(...this.#all(allOf, at));
    return parts.length === 1 ? rest : mergeAll(parts, at);
  }

  #choice(schema: Schema, choices: unknown, at: string): string {
    const { anyOf, oneOf, ...beside } = schema;
    if (!Array.isArray(choices) || choices.length === 0 || (anyOf !== undefined && oneOf !== undefined)) {
      throw new SchemaProblem(at, 'anyOf or oneOf is a list of schemas');
    }
    const ways = choices.map((choice, i) => {
      const place = `${at}/${anyOf === undefined ? 'oneOf' : 'anyOf'}/${i}`;
      const way = asSchema(choice, place);
      return this.#schema(constrains(beside) ? mergeAll([beside, this.#plain(way, place)], place) : way, place);
    });
    return `(${ways.join(' | ')})`;
  }

  #enumeration(schema: Schema, at: string): string {
    const { enum: values } = schema;
    if (!Array.isArray(values)) throw new SchemaProblem(at, 'enum is a list of values');
    const types = typesOf({ type: schema.type }, at);
    const meant = types.length === 0 ? values : values.filter((value) => types.some((type) => isOfType(value, type)));
    if (meant.length === 0) throw new SchemaProblem(at, 'enum allows nothing');
    return `(${meant.map((value) => literal(JSON.stringify(value))).join(' | ')})`;
  }

  #ofType(type: TypeName, schema: Schema, at: string): string {
    switch (type) {
      case 'object':
        return this.#object(schema, at);
      case 'array':
        return this.#array(schema, at);
      case 'string':
        return this.#string(schema, at);
      case 'integer':
        return this.#integer(schema, at);
      case 'number':
        return this.#number(schema, at);
      case 'boolean':
      case 'null':
        return this.#rules.common(type);
      default:
        return type satisfies never;
    }
  }

  #object(schema: Schema, at: string): string {
    const properties = asSchema(schema.properties ?? {}, `${at}/properties`);
    const required = schema.required ?? [];
    if (!Array.isArray(required) || !required.every((name) => typeof name === 'string')) {
      throw new SchemaProblem(at, 'required is a list of names');
    }
    const more = schema.additionalProperties;
    const unnamed = required.filter((name) => !Object.hasOwn(properties, name));
    if (unnamed.length > 0 && more === false) throw new SchemaProblem(at, 'it requires a property that it forbids');
    const named: [string, unknown][] = [
      ...Object.entries(properties),
      ...unnamed.map((name) => [name, more ?? true] as [string, unknown]),
    ];
    if (named.length === 0 && (more === undefined || more === true)) return this.#rules.common('object');

    const space = this.#rules.common('space');
    const pair = ([name, value]: [string, unknown]) => {
      const place = `${at}/properties/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      return this.#rules.rule(
        `${literal(JSON.stringify(name))} ${space} ":" ${space} ${this.#schema(asSchema(value, place), place)}`,
      );
    };
    const first = named.filter(([name]) => required.includes(name)).map(pair);
    const optional = named.filter(([name, value]) => !required.includes(name) && value !== false).map(pair);
    const others =
      more === undefined || more === false
        ? undefined
        : this.#others(
            named.map(([name]) => name),
            more,
            at,
          );
    const rest = this.#optionalPairs(optional, others);
    if (first.length === 0) return `"{" ${space} ${rest === undefined ? '' : `(${rest.tail})? ${space} `}"}"`;
    return `"{" ${space} ${first.join(` "," ${space} `)} ${rest === undefined ? '' : `${rest.more} `}${space} "}"`;
  }

  /** A pair whose name is none of those that are named. */
  #others(names: readonly string[], value: unknown, at: string): string {
    const place = `${at}/additionalProperties`;
    if (names.some((name) => name.length > NAME_LENGTH_MAX)) {
      throw new SchemaProblem(at, `beside a name of more than ${NAME_LENGTH_MAX} characters it cannot allow others`);
    }
    const key =
      names.length === 0
        ? this.#rules.common('string')
        : this.#rules.rule(anyKeyBut(names, this.#rules.common('char')));
    return this.#rules.rule(`${key} ":" ${this.#rules.common('space')} ${this.#schema(asSchema(value, place), place)}`);
  }

  /**
   * Any choice of the pairs in their order, then any number of others. `tail` has one at least; `more` has a comma before
   * each, or is nothing. A rule for each pair, not for each choice.
   */
  #optionalPairs(pairs: readonly string[], others: string | undefined): { tail: string; more: string } | undefined {
    const space = this.#rules.common('space');
    const rule = (tail: string) => ({ tail, more: this.#rules.rule(`("," ${space} ${tail})?`) });
    let after: { tail: string; more: string } | undefined;
    if (others !== undefined) {
      const tail = this.#rules.newName();
      after = rule(tail);
      this.#rules.define(tail, `${others} ${after.more}`);
    }
    for (const pair of [...pairs].reverse()) {
      const tail = after === undefined ? pair : this.#rules.rule(`${pair} ${after.more} | ${after.tail}`);
      after = rule(tail);
    }
    return after;
  }

  #array(schema: Schema, at: string): string {
    const tuple = Array.isArray(schema.items) ? schema.items : (schema.prefixItems ?? []);
    const others = Array.isArray(schema.items) ? schema.additionalItems : schema.items;
    if (!Array.isArray(tuple)) throw new SchemaProblem(at, 'prefixItems is a list of schemas');
    const minimum = countOf(schema, 'minItems', at) ?? 0;
    const maximum = countOf(schema, 'maxItems', at) ?? Infinity;
    if (maximum < minimum) throw new SchemaProblem(at, 'maxItems is below minItems');
    const space = this.#rules.common('space');
    if (maximum === 0) return `"[" ${space} "]"`;
    const first = tuple.slice(0, maximum).map((item, i) => this.#item(item, `${at}/prefixItems/${i}`));
    const isOpen = others !== false && (first.length === 0 || others !== undefined || minimum > first.length);
    if (!isOpen) {
      if (minimum > first.length) throw new SchemaProblem(at, 'minItems asks for more items than there may be');
      return `"[" ${space} ${first.join(` "," ${space} `)} ${space} "]"`;
    }
    const item = this.#item(others ?? true, `${at}/items`);
    if (first.length > 0) {
      const more = repeated(`("," ${space} ${item})`, Math.max(0, minimum - first.length), maximum - first.length);
      return `"[" ${space} ${first.join(` "," ${space} `)} ${more} ${space} "]"`;
    }
    const some = `${item} ${repeated(`("," ${space} ${item})`, Math.max(0, minimum - 1), maximum - 1)}`;
    return `"[" ${space} ${minimum === 0 ? `(${some})?` : some} ${space} "]"`;
  }

  #item(item: unknown, at: string): string {
    return this.#rules.rule(this.#schema(asSchema(item, at), at));
  }

  #string(schema: Schema, at: string): string {
    const minimum = countOf(schema, 'minLength', at) ?? 0;
    const maximum = countOf(schema, 'maxLength', at) ?? Infinity;
    const format = typeof schema.format === 'string' ? FORMATS[schema.format] : undefined;
    if (format !== undefined) return `"\\"" ${format} "\\""`;
    if (maximum < minimum) throw new SchemaProblem(at, 'maxLength is below minLength');
    if (minimum === 0 && maximum === Infinity) return this.#rules.common('string');
    return `"\\"" ${repeated(this.#rules.common('char'), minimum, maximum)} "\\""`;
  }

  #integer(schema: Schema, at: string): string {
    const least = numberOf(schema, 'minimum', at);
    const most = numberOf(schema, 'maximum', at);
    const above = numberOf(schema, 'exclusiveMinimum', at);
    const below = numberOf(schema, 'exclusiveMaximum', at);
    if ([least, most, above, below].every((bound) => bound === undefined)) return this.#rules.common('integer');
    const from = Math.max(Math.ceil(least ?? -Infinity), Math.floor(above ?? -Infinity) + 1);
    const to = Math.min(Math.floor(most ?? Infinity), Math.ceil(below ?? Infinity) - 1);
    const range = integerRange(from, to);
    if (range === undefined) throw new SchemaProblem(at, 'no integer is within its bounds');
    return range;
  }

  /** Of the bounds of a number a grammar has the sign. */
  #number(schema: Schema, at: string): string {
    const bounds = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'].filter(
      (keyword) => numberOf(schema, keyword, at) !== undefined,
    );
    if (bounds.length === 0) return this.#rules.common('number');
    if (bounds.length === 1 && schema.minimum === 0) return this.#rules.common('positive');
    throw new SchemaProblem(at, 'a grammar can hold a number to minimum 0 and no other bound; an integer to any');
  }
}
