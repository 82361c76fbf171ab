import { DiscedgeError } from '../domain/errors.ts';
import type { ToolDefinition } from '../domain/record/preamble.ts';
import type { CallSyntax, ReplySyntax } from './chat-template.ts';
import { GRAMMAR_BYTES_MAX } from './grammar/grammar-check.ts';
import { schemaGrammar } from './grammar/json-schema/schema-grammar.ts';
import { inClass, textBefore } from './grammar/text-before.ts';

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
  const calls = callRules(tools, syntax, { several, start: syntax.head.trimStart() });
  return short(`${afterReasoning('calls', begun)}${calls}`, 'their grammar is too long');
}

/**
 * GBNF of a reply that may call tools, some of which are `strict`: thinking and text as they come, and behind the text that
 * begins a call only calls of these tools, of the strict ones with arguments that keep to their schema. Throws
 * `unsupported_parameter` where calls cannot be told from text, else as {@link formatGrammar} does.
 */
export function strictGrammar(
  tools: readonly ToolDefinition[],
  { calls, syntax }: { readonly calls: CallSyntax; readonly syntax: ReplySyntax },
  { several, begun }: { readonly several: boolean; readonly begun: string | undefined },
): string {
  const opener = syntax.calls?.opener;
  if (opener === undefined) {
    const message = "strict tools are not supported: the model's template writes calls that cannot be told from text";
    throw new DiscedgeError('unsupported_parameter', message, { param: 'tools' });
  }
  const head = calls.head.trimStart();
  const free =
    opener === ''
      ? `reply ::= [ \\t\\r\\n]* bare\nbare ::= calls | [^{${SPACES}] ([^\\x00])* | ""\n`
      : `reply ::= text-0\n${textBefore(opener, { name: 'text', next: 'calls', mayEnd: true })}`;
  const rules = callRules(tools, calls, { several, start: head.slice(opener.length), looseToo: true });
  const root = begun === undefined ? mayThink('reply', syntax.thinking) : afterReasoning('reply', begun);
  return short(`${root}${free}${rules}`, 'the grammar of those that are strict is too long; fewer of them can be');
}

/** White space that may stand before a call. */
const SPACES = `${[...' \t\r\n\v\f\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff'].map(inClass).join('')}\u2000-\u200a`;

/** The rule `calls`; `start`: what of the template's text before the first name is still to come. */
function callRules(
  tools: readonly ToolDefinition[],
  syntax: CallSyntax,
  { several, start, looseToo = false }: { several: boolean; start: string; looseToo?: boolean },
): string {
  const { middle, join, tail } = syntax;
  const one = tools.map((_tool, index) => `call-${index}`).join(' | ');
  const more = several && join !== undefined ? ` (${literal(join)} call)*` : '';
  const calls = `calls ::= ${literal(start)} call${more} ${literal(tail)}\ncall ::= ${one}\n`;
  const isLoose = ({ strict }: ToolDefinition) => looseToo && strict !== true;
  const loose = tools.some(isLoose) ? anyArguments(syntax) : undefined;
  const rules = tools.map((tool, index) => {
    const given = isLoose(tool) ? { root: loose?.root, rules: '' } : argumentsGrammar(tool, syntax, `tool-${index}-`);
    return `call-${index} ::= ${literal(tool.name + middle)} ${given.root}\n${given.rules}`;
  });
  return `${calls}${rules.join('')}${loose?.rules ?? ''}`;
}

function short(grammar: string, fault: string): string {
  if (Buffer.byteLength(grammar) > GRAMMAR_BYTES_MAX) throw unheld('tools', fault);
  return grammar;
}

function anyArguments({ arguments: how }: CallSyntax): Part {
  if (how.form === 'json') return renamed(grammarOf({}, 'tools'), 'any-');
  const pair = `${literal(how.beforeName)} [A-Za-z0-9_.-]+ ${literal(how.beforeValue)} [^<]* ${literal(how.afterValue)}`;
  return { root: 'any-root', rules: `any-root ::= (${pair})*\n` };
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
  return `root ::= thought-0 [ \\n]* ${root}\n${textBefore(begun, { name: 'thought', mayEnd: false })}`;
}

/** A reply that may begin with thinking, in which nothing is a call. */
function mayThink(root: string, thinking: ReplySyntax['thinking']): string {
  if (thinking === undefined || thinking.start === '') return `root ::= ${root}\n`;
  const thought = textBefore(thinking.end, { name: 'thought', mayEnd: false });
  return `root ::= ([ \\n]* ${literal(thinking.start)} thought-0)? ${root}\n${thought}`;
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
