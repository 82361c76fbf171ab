import { DiscedgeError } from '../../../domain/errors.ts';
import { type ToolDefinition, toolsFault } from '../../../domain/record/preamble.ts';
import type { ChatTemplate } from '../../../llm-service/chat-template.ts';
import { callGrammar, formatGrammar, strictGrammar } from '../../../llm-service/reply-grammar.ts';
import type { ReplyOptions, TurnRequest } from '../turn.ts';
import { FREE_FORM } from './reply-form.ts';

/** Throws `invalid_request` for tools that no turn may have. */
export function requireTools({ preamble }: Pick<TurnRequest, 'preamble'>): void {
  const fault = preamble && toolsFault(preamble.tools);
  if (fault !== undefined) throw new DiscedgeError('invalid_request', fault, { param: 'tools' });
}

/**
 * The tools that a reply may call; `undefined`: none, and what looks like a call is text. Throws `invalid_request` for a choice of
 * a tool that is not there.
 */
export function callableTools(
  { form }: Pick<TurnRequest, 'form'>,
  tools: readonly ToolDefinition[],
): readonly ToolDefinition[] | undefined {
  const choice = form?.toolChoice ?? 'auto';
  if (choice === 'none') return undefined;
  if (choice === 'auto') return tools.length === 0 ? undefined : tools;
  const chosen = choice === 'required' ? tools : tools.filter(({ name }) => name === choice.name);
  if (chosen.length > 0) return chosen;
  const which = choice === 'required' ? 'any' : choice.name;
  throw new DiscedgeError('invalid_request', `tool_choice asks for ${which}, and there is no such tool`, {
    param: 'tool_choice',
  });
}

/**
 * The sampling that holds a reply to its form: calls that have to come, those of strict tools, or a format, by a grammar;
 * everything else is the model's. `begun`: the text that ends the reasoning which the prompt has begun. Throws `invalid_request` for
 * a schema that no grammar can be made of and for two grammars, `unsupported_parameter` for a format where tools may be called
 * instead, and for strict tools under a template whose calls cannot be told from text.
 */
export function heldSampling(
  { form = FREE_FORM, sampling }: Pick<ReplyOptions, 'form' | 'sampling'>,
  {
    tools,
    template,
    begun,
  }: {
    readonly tools: readonly ToolDefinition[] | undefined;
    readonly template: Pick<ChatTemplate, 'calls' | 'syntax'>;
    readonly begun: string | undefined;
  },
): ReplyOptions['sampling'] {
  const { toolChoice, parallelToolCalls: several, format } = form;
  const mustCall = toolChoice !== 'auto' && toolChoice !== 'none';
  const isStrict = !mustCall && tools !== undefined && tools.some(({ strict }) => strict === true);
  if (!mustCall && !isStrict && format === undefined) return sampling;
  if (sampling.grammar !== undefined || sampling.json_schema !== undefined) {
    const message =
      'grammar and json_schema exclude a format, strict tools and calls that have to come: a reply is held to one of them';
    throw new DiscedgeError('invalid_request', message, { param: 'grammar' });
  }
  if (format !== undefined && tools !== undefined) {
    const message =
      'a format of the answer cannot be held to while tools may be called: send one of them, or tool_choice "none"';
    throw new DiscedgeError('unsupported_parameter', message, { param: 'format' });
  }
  if (format !== undefined) {
    return { ...sampling, grammar: formatGrammar(format.type === 'json_object' ? {} : format.schema, begun) };
  }
  if (tools === undefined || template.calls === undefined) throw new TypeError('calls without tools');
  const { calls, syntax } = template;
  const grammar = isStrict
    ? strictGrammar(tools, { calls, syntax }, { several, begun })
    : callGrammar(tools, calls, { several, begun });
  return { ...sampling, grammar };
}
