import { DiscedgeError } from '../domain/errors.ts';
import type { ToolDefinition } from '../domain/record/preamble.ts';
import type { CallSyntax } from './chat-template.ts';
import { GRAMMAR_BYTES_MAX } from './grammar/grammar-check.ts';
import { schemaGrammar } from './grammar/json-schema/schema-grammar.ts';

/** Rules of a grammar by name, and the name of the one that stands for it. */
interface Part {
  readonly rules: string;
  readonly root: string;
}

/**
 * GBNF of the JSON that keeps to a schema; `{}`: of any object. Throws `invalid_request` for a schema that no grammar can be
 * made of. `begun`: the text that ends the reasoning which the prompt has begun, and which comes first.
 */
export function formatGrammar(schema: Readonly<Record<string, unknown>>, begun: string | undefined): string {
  const json = renamed(grammarOf(schema, 'format'), 'json-');
  return `${afterReasoning(json.root, begun)}${json.rules}`;
}

/** GBNF of a call of one of these tools, or with `several` of one or more, as the template writes them. Throws as {@link formatGrammar} does. */
export function callGrammar(
  tools: readonly ToolDefinition[],
  syntax: CallSyntax,
  { several, begun }: { readonly several: boolean; readonly begun: string | undefined },
): string {
  const { head, middle, join, tail } = syntax;
  const one = tools.map((_tool, index) => `call-${index}`).join(' | ');
  const more = several && join !== undefined ? ` (${literal(join)} call)*` : '';
  const calls = `calls ::= ${literal(head.trimStart())} call${more} ${literal(tail)}\ncall ::= ${one}\n`;
  const rules = tools.map((tool, index) => {
    const given = argumentsGrammar(tool, syntax, `tool-${index}-`);
    return `call-${index} ::= ${literal(tool.name + middle)} ${given.root}\n${given.rules}`;
  });
  const grammar = `${afterReasoning('calls', begun)}${calls}${rules.join('')}`;
  if (Buffer.byteLength(grammar) > GRAMMAR_BYTES_MAX) throw unheld('tools', 'their grammar is too long');
  return grammar;
}

function argumentsGrammar({ name, parameters }: ToolDefinition, { arguments: how }: CallSyntax, prefix: string): Part {
  const schema: Readonly<Record<string, unknown>> = { type: 'object', properties: {}, ...parameters };
  if (how.form === 'json') return renamed(grammarOf(schema, `tools: ${name}`), prefix);
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const parts = Object.entries(schema.properties as Record<string, Record<string, unknown>>).map(
    ([key, property], index) => {
      const value = valueGrammar(property, `${prefix}${index}-`, `tools: ${name}`);
      const pair = `${literal(how.beforeName + key + how.beforeValue)} ${value.root} ${literal(how.afterValue)}`;
      return { rules: value.rules, root: required.has(key) ? pair : `(${pair})?` };
    },
  );
  const root = `${prefix}pairs`;
  const pairs = parts.length === 0 ? '""' : parts.map((part) => part.root).join(' ');
  return { root, rules: `${root} ::= ${pairs}\n${parts.map(({ rules }) => rules).join('')}` };
}

/** A text stands between tags as it is, anything else as JSON. */
function valueGrammar(schema: Record<string, unknown>, prefix: string, what: string): Part {
  const isText = schema.type === 'string' && schema.enum === undefined && schema.const === undefined;
  if (isText) return { root: '[^<]*', rules: '' };
  return renamed(grammarOf(schema, what), prefix);
}

function afterReasoning(root: string, begun: string | undefined): string {
  if (begun === undefined || begun === '') return `root ::= ${root}\n`;
  const first = begun[0] as string;
  return `root ::= [^${/[\]\\^-]/.test(first) ? `\\${first}` : first}]* ${literal(begun)} [ \\n]* ${root}\n`;
}

function grammarOf(schema: Readonly<Record<string, unknown>>, what: string): string {
  try {
    return schemaGrammar(schema);
  } catch (error) {
    if (!(error instanceof DiscedgeError)) throw error;
    throw unheld(what.startsWith('tools') ? 'tools' : 'format', `${what}: ${error.message}`, error);
  }
}

function unheld(param: string, message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('invalid_request', message, { param, cause });
}

/** The grammar's rules under names of their own. Texts and classes of characters are no names. */
function renamed(grammar: string, prefix: string): Part {
  const rules = grammar.replace(/"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[A-Za-z][\w-]*/g, (token) =>
    /^[A-Za-z]/.test(token) ? prefix + token : token,
  );
  return { rules, root: `${prefix}root` };
}

function literal(text: string): string {
  return JSON.stringify(text);
}
