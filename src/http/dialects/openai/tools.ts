import { type Static, Type } from 'typebox';
import type { ReplyForm, ReplyFormat } from '../../../context-manager/turn/reply/reply-form.ts';
import type { ToolDefinition } from '../../../domain/record/preamble.ts';
import { invalid } from '../../requests/parameters.ts';
import { choice } from '../../requests/request-fields.ts';

const TOOLS_MAX = 128;
const name = () => Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,128}$' });
const schema = () => Type.Record(Type.String(), Type.Unknown());

export const FunctionTool = Type.Object({
  type: choice(['function']),
  function: Type.Object({
    name: name(),
    description: Type.Optional(Type.String()),
    parameters: Type.Optional(schema()),
    strict: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
  }),
});

/** What the model may call and what its reply has to be, as chat completions say it. */
export const ToolFields = {
  tools: Type.Optional(Type.Array(FunctionTool, { maxItems: TOOLS_MAX })),
  tool_choice: Type.Optional(
    Type.Union([
      choice(['none', 'auto', 'required']),
      Type.Object({ type: choice(['function']), function: Type.Object({ name: name() }) }),
    ]),
  ),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
  response_format: Type.Optional(
    Type.Union([
      Type.Object({ type: choice(['text', 'json_object']) }),
      Type.Object({
        type: choice(['json_schema']),
        json_schema: Type.Object({
          name: Type.String(),
          description: Type.Optional(Type.String()),
          schema: schema(),
          strict: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
        }),
      }),
    ]),
  ),
};
type Said = Static<ReturnType<typeof Type.Object<typeof ToolFields>>>;

/** Throws `invalid_request` for two of one name. */
export function toolsOf({ tools = [] }: Said): readonly ToolDefinition[] {
  const names = tools.map((tool) => tool.function.name);
  const twice = names.findIndex((one, at) => names.indexOf(one) !== at);
  if (twice !== -1) throw invalid(`tools.${twice}.function.name`, 'two tools have one name');
  return tools.map(({ function: { strict, ...tool } }) => ({ ...tool, ...(strict != null && { strict }) }));
}

/** `undefined` where nothing is asked for. */
export function formOf(said: Said): ReplyForm | undefined {
  const { tool_choice: wanted, parallel_tool_calls: parallel, response_format: format } = said;
  if (wanted === undefined && parallel === undefined && format === undefined) return undefined;
  const { tools = [] } = said;
  if (tools.length === 0 && wanted !== undefined && wanted !== 'none' && wanted !== 'auto')
    throw invalid('tool_choice', 'there are no tools to choose from');
  if (typeof wanted === 'object' && tools.every((tool) => tool.function.name !== wanted.function.name))
    throw invalid('tool_choice', 'no tool has this name');
  const toolChoice = typeof wanted === 'object' ? { name: wanted.function.name } : (wanted ?? 'auto');
  return { toolChoice, parallelToolCalls: parallel ?? true, format: formatOf(format) };
}

function formatOf(format: Said['response_format']): ReplyFormat | undefined {
  if (format === undefined) return undefined;
  if (!('json_schema' in format)) return format.type === 'text' ? undefined : { type: 'json_object' };
  const { name: called, schema: wanted, strict } = format.json_schema;
  return { type: 'json_schema', name: called, schema: wanted, ...(strict != null && { strict }) };
}
