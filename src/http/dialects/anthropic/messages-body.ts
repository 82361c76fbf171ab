import { type Static, Type } from 'typebox';
import { ModelChoice } from '../../requests/model-choice.ts';
import type { Parameters } from '../../requests/parameters.ts';
import { choice, userId } from '../../requests/request-fields.ts';
import { TurnOptions } from '../../requests/turn-options.ts';

/** Of a conversation that is sent whole: tens of thousands of words of talk. */
const MESSAGES_MAX = 16_384;
const BLOCKS_MAX = 256;
const TOOLS_MAX = 128;
const STOP_SEQUENCES_MAX = 16;

/** Their further fields depend on the type, and are checked where they are read. */
const Block = Type.Object({ type: Type.String() }, { additionalProperties: true });
const contents = () => Type.Union([Type.String(), Type.Array(Block, { maxItems: BLOCKS_MAX })]);
const toolName = () => Type.String({ pattern: '^[A-Za-z0-9_.:-]{1,128}$' });

export const AnthropicMessage = Type.Object(
  { role: choice(['user', 'assistant']), content: contents() },
  { additionalProperties: false, title: 'AnthropicMessage' },
);
export type AnthropicMessage = Static<typeof AnthropicMessage>;

const Tool = Type.Object(
  {
    type: Type.Optional(Type.Union([Type.String(), Type.Null()], { description: '`custom`, or left out.' })),
    name: toolName(),
    description: Type.Optional(Type.String()),
    input_schema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: true },
);
export type AnthropicTool = Static<typeof Tool>;

const one = () => ({ disable_parallel_tool_use: Type.Optional(Type.Boolean()) });
const ToolChoice = Type.Union([
  Type.Object({ type: choice(['auto', 'any']), ...one() }),
  Type.Object({ type: choice(['tool']), name: toolName(), ...one() }),
  Type.Object({ type: choice(['none']) }),
]);
export type AnthropicToolChoice = Static<typeof ToolChoice>;

/** What a prompt is made of. */
const PromptFields = {
  ...ModelChoice,
  messages: Type.Array(AnthropicMessage, {
    minItems: 1,
    maxItems: MESSAGES_MAX,
    description: 'The whole conversation: the node goes on from the longest part of it that it has stored.',
  }),
  system: Type.Optional(contents()),
  tools: Type.Optional(Type.Array(Tool, { maxItems: TOOLS_MAX })),
  tool_choice: Type.Optional(ToolChoice),
  cache_control: Type.Optional(Type.Unknown({ description: 'Not looked at: the cache follows the conversation.' })),
  metadata: Type.Optional(
    Type.Object(
      {
        user_id: Type.Optional(
          Type.Union([userId({ description: 'Whose conversation it is; default `anonymous`.' }), Type.Null()]),
        ),
      },
      { additionalProperties: false },
    ),
  ),
  store: Type.Optional(
    Type.Boolean({ description: 'False: nothing is written, and the conversation cannot be gone on from.' }),
  ),
  layers: TurnOptions.layers,
};

/** Anthropic's create, and what of DisCEdge's turns a client may say beside it. */
export const MessagesBody = Type.Object(
  {
    ...PromptFields,
    max_tokens: Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Most tokens to reply with.',
    }),
    stop_sequences: Type.Optional(Type.Array(Type.String({ maxLength: 256 }), { maxItems: STOP_SEQUENCES_MAX })),
    stream: Type.Optional(Type.Boolean()),
    temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    top_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    top_k: Type.Optional(Type.Integer({ minimum: 0 })),
    service_tier: Type.Optional(choice(['auto', 'standard_only'])),
    ...TurnOptions,
  },
  { additionalProperties: true, title: 'AnthropicMessagesRequest' },
);
export type MessagesBody = Static<typeof MessagesBody>;

export const CountTokensBody = Type.Object(PromptFields, {
  additionalProperties: true,
  title: 'AnthropicCountTokensRequest',
});
export type CountTokensBody = Static<typeof CountTokensBody>;

const REFUSED = {
  container: 'nothing is executed here',
  context_management: 'what is left out of a full context is said by overflow',
  inference_geo: 'a node is where it is',
  mcp_servers: 'a node calls no tools by itself',
  output_config: 'no chat template here is told of it',
  output_format: 'a reply cannot be held to a schema by this API; use a tool',
  thinking: 'a model here thinks as its chat template has it',
};

export const MESSAGES_PARAMETERS: Parameters = { known: Object.keys(MessagesBody.properties), refused: REFUSED };
export const COUNT_PARAMETERS: Parameters = { known: Object.keys(CountTokensBody.properties), refused: REFUSED };
