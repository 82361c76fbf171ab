import type { ReplyForm } from '../../../context-manager/turn/reply/reply-form.ts';
import { DiscedgeError } from '../../../domain/errors.ts';
import type { Preamble, ToolDefinition } from '../../../domain/record/preamble.ts';
import { unsupported } from '../../requests/parameters.ts';
import type { AnthropicTool, AnthropicToolChoice, CountTokensBody } from './messages-body.ts';

type Said = Pick<CountTokensBody, 'tools' | 'tool_choice'>;
const KNOWN = ['type', 'name', 'description', 'input_schema', 'cache_control', 'strict'];

/**
 * What the model may call; `undefined` where it is told of nothing. Throws `unsupported_parameter` for tools that Anthropic
 * would run itself, `invalid_request` for two of one name.
 */
export function preambleOf({ tools = [] }: Said): Preamble | undefined {
  const names = tools.map(({ name }) => name);
  const twice = names.findIndex((name, at) => names.indexOf(name) !== at);
  if (twice !== -1) throw invalid(`tools.${twice}.name`, 'two tools have one name');
  return tools.length === 0 ? undefined : { instructions: undefined, tools: tools.map(definitionOf) };
}

/** `undefined` where nothing is asked for. Throws `invalid_request` for a choice that is none. */
export function formOf({ tools = [], tool_choice: wanted }: Said): ReplyForm | undefined {
  if (wanted === undefined) return undefined;
  const needsTool = wanted.type === 'any' || wanted.type === 'tool';
  if (needsTool && tools.length === 0) throw invalid('tool_choice', 'there are no tools to choose from');
  if (wanted.type === 'tool' && tools.every(({ name }) => name !== wanted.name))
    throw invalid('tool_choice.name', 'no tool has this name');
  const parallelToolCalls = !('disable_parallel_tool_use' in wanted && wanted.disable_parallel_tool_use === true);
  return { toolChoice: choiceOf(wanted), parallelToolCalls, format: undefined };
}

function choiceOf(wanted: AnthropicToolChoice): ReplyForm['toolChoice'] {
  if (wanted.type === 'tool') return { name: wanted.name };
  return wanted.type === 'any' ? 'required' : wanted.type;
}

function definitionOf(tool: AnthropicTool, at: number): ToolDefinition {
  const { type, name, description, input_schema: parameters, strict } = tool as AnthropicTool & { strict?: unknown };
  const place = `tools.${at}`;
  if (type != null && type !== 'custom')
    throw unsupported(`${place}.type`, `${type} is a tool that Anthropic runs; a node runs none`);
  const more = Object.keys(tool).find((field) => !KNOWN.includes(field));
  if (more !== undefined) throw unsupported(`${place}.${more}`, `${more} is not supported in a tool`);
  return {
    name,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters }),
    ...(typeof strict === 'boolean' && { strict }),
  };
}

function invalid(param: string, message: string): DiscedgeError {
  return new DiscedgeError('invalid_request', `${param}: ${message}`, { param });
}
