import type { ReplyForm, ReplyFormat } from '../../../../context-manager/turn/reply/reply-form.ts';
import type { ReplyOptions } from '../../../../context-manager/turn/turn.ts';
import type { OptionalLayer } from '../../../../domain/record/layers-left-out.ts';
import type { Preamble, ToolDefinition } from '../../../../domain/record/preamble.ts';
import type { OverflowPolicy } from '../../../../domain/session/context-window.ts';
import { layersLeftOut } from '../../../layers-told.ts';
import { invalid, requireKnown, unsupported } from '../../../requests/parameters.ts';
import { CREATE_FIELDS, type CreateBody, REFUSED_FIELDS } from './create-body.ts';

/** What a body asks for beside its input and its place. */
export interface Asked {
  readonly preamble: Preamble;
  readonly options: ReplyOptions & { readonly form: ReplyForm };
  /** `undefined`: the node's default. */
  readonly overflow: OverflowPolicy | undefined;
  readonly withoutLayers: readonly OptionalLayer[];
  /** Whether thinking is shown as its summary. */
  readonly summarized: boolean;
}

type ContextBody = Pick<
  CreateBody,
  'instructions' | 'tools' | 'tool_choice' | 'parallel_tool_calls' | 'text' | 'reasoning' | 'truncation' | 'layers'
>;

/** Throws `unsupported_parameter` and `invalid_request`, naming the field, for what cannot be honoured. */
export function askedOf(body: CreateBody): Asked {
  requireKnown(body, { known: CREATE_FIELDS, refused: REFUSED_FIELDS });
  const { include = [], service_tier = 'auto', top_logprobs = 0, stream_options = {} } = body;
  const [included] = include;
  if (included !== undefined)
    throw unsupported('include', `include ${included} is not supported: there is no such thing`);
  if (!['auto', 'default'].includes(service_tier))
    throw unsupported('service_tier', 'the node has one tier: auto and default');
  if (top_logprobs > 0) throw unsupported('top_logprobs', 'probabilities are not told by this route; use /completion');
  if ((stream_options as { include_obfuscation?: unknown }).include_obfuscation === true)
    throw unsupported('stream_options', 'include_obfuscation is not supported');
  const stream = body.stream === true;
  return { ...contextAskedOf(body), options: { ...optionsOf(body), form: formOf(body), stream } };
}

/** The part of it that decides the prompt. */
export function contextAskedOf(body: ContextBody): Omit<Asked, 'options'> {
  const { truncation, reasoning = {} } = body;
  const { effort, summary, generate_summary } = reasoning as Record<string, unknown>;
  if (effort !== undefined && effort !== null)
    throw unsupported(
      'reasoning.effort',
      'reasoning.effort is not supported: the node does not steer how long a model thinks',
    );
  return {
    preamble: { instructions: body.instructions, tools: toolsOf(body.tools ?? []) },
    overflow: truncation === undefined ? undefined : truncation === 'auto' ? 'drop-oldest' : 'error',
    withoutLayers: layersLeftOut(body.layers),
    summarized: (summary ?? generate_summary ?? null) !== null,
  };
}

function optionsOf(body: CreateBody): Omit<ReplyOptions, 'form' | 'stream'> {
  const { temperature, top_p, presence_penalty, frequency_penalty } = body;
  const sampling = Object.entries({ temperature, top_p, presence_penalty, frequency_penalty });
  return {
    maxTokens: body.max_output_tokens,
    stop: [],
    sampling: Object.fromEntries(sampling.filter(([, value]) => value !== undefined)),
  };
}

function toolsOf(tools: NonNullable<CreateBody['tools']>): ToolDefinition[] {
  const names = new Set<string>();
  return tools.map((tool, index) => {
    const at = `tools[${index}]`;
    if (tool.type !== 'function')
      throw unsupported(
        at,
        `${at} is of type ${tool.type}: the node runs no tools of its own, only functions are passed on`,
      );
    if (tool.name === undefined) throw invalid(at, `${at}.name is missing`);
    if (names.has(tool.name)) throw invalid(at, `${at}.name is that of another tool`);
    names.add(tool.name);
    return {
      name: tool.name,
      ...(typeof tool.description === 'string' && { description: tool.description }),
      ...(tool.parameters && { parameters: tool.parameters as Record<string, unknown> }),
      ...(typeof tool.strict === 'boolean' && { strict: tool.strict }),
    };
  });
}

/** What the reply has to be. */
export function formOf({
  tools = [],
  tool_choice = 'auto',
  parallel_tool_calls = true,
  text = {},
}: ContextBody): ReplyForm {
  return {
    toolChoice: toolChoiceOf(tool_choice, tools),
    parallelToolCalls: parallel_tool_calls,
    format: formatOf(text as Record<string, unknown>),
  };
}

function toolChoiceOf(
  choice: NonNullable<CreateBody['tool_choice']>,
  tools: NonNullable<CreateBody['tools']>,
): ReplyForm['toolChoice'] {
  if (choice === 'auto' || choice === 'none') return choice;
  if (choice === 'required') {
    if (tools.length === 0) throw invalid('tool_choice', 'tool_choice requires a call, and there are no tools');
    return choice;
  }
  const { type, name } = (typeof choice === 'string' ? {} : choice) as { type?: unknown; name?: unknown };
  if (type !== 'function' || typeof name !== 'string')
    throw unsupported('tool_choice', 'tool_choice must be auto, none, required, or {"type": "function", "name": …}');
  if (!tools.some((tool) => tool.name === name)) throw invalid('tool_choice', 'tool_choice names no tool of tools');
  return { name };
}

function formatOf({ format, verbosity }: Record<string, unknown>): ReplyFormat | undefined {
  if (verbosity !== undefined && verbosity !== null && verbosity !== 'medium')
    throw unsupported(
      'text.verbosity',
      'text.verbosity is not supported: the node does not steer how much a model says',
    );
  if (format === undefined || format === null) return undefined;
  const { type, name, schema, strict } = format as Record<string, unknown>;
  if (type === 'text') return undefined;
  if (type === 'json_object') return { type };
  if (type !== 'json_schema')
    throw unsupported('text.format', 'text.format.type must be text, json_object or json_schema');
  if (schema === null || typeof schema !== 'object' || Array.isArray(schema))
    throw invalid('text.format', 'text.format.schema must be a JSON schema');
  return {
    type,
    schema: schema as Record<string, unknown>,
    ...(typeof name === 'string' && { name }),
    ...(typeof strict === 'boolean' && { strict }),
  };
}
