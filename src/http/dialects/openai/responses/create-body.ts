import { type Static, Type } from 'typebox';
import { ID_BYTES_MAX } from '../../../../domain/identifiers.ts';
import { userId } from '../../../requests/request-fields.ts';
import { TurnOptions } from '../../../requests/turn-options.ts';
import { Metadata } from '../metadata.ts';

/** Tools of one request; each is part of the prompt. */
const TOOLS_MAX = 128;

const AnyObject = Type.Object({}, { additionalProperties: true });

export const Input = Type.Union([Type.String(), Type.Array(AnyObject)], {
  description:
    "The user's message, or items: messages, function calls and their outputs, reasoning, references to items.",
});

export const Tool = Type.Object(
  {
    type: Type.String(),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: ID_BYTES_MAX })),
    description: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    parameters: Type.Optional(Type.Union([AnyObject, Type.Null()])),
    strict: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
  },
  { additionalProperties: true },
);

export const CONTEXT_FIELDS = {
  model: Type.Optional(Type.String()),
  input: Type.Optional(Input),
  instructions: Type.Optional(
    Type.String({ description: 'The system message of this response alone; the next one does not inherit it.' }),
  ),
  previous_response_id: Type.Optional(Type.String({ description: 'Go on after this response, at whichever node.' })),
  conversation: Type.Optional(
    Type.Union([Type.String(), Type.Object({ id: Type.String() }, { additionalProperties: false })]),
  ),
  tools: Type.Optional(Type.Array(Tool, { maxItems: TOOLS_MAX })),
  tool_choice: Type.Optional(Type.Union([Type.String(), AnyObject])),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
  text: Type.Optional(AnyObject),
  reasoning: Type.Optional(AnyObject),
  truncation: Type.Optional(Type.Unsafe<'auto' | 'disabled'>({ type: 'string', enum: ['auto', 'disabled'] })),
  user: Type.Optional(userId()),
  layers: TurnOptions.layers,
};

export const CreateBody = Type.Object(
  {
    ...CONTEXT_FIELDS,
    store: Type.Optional(Type.Boolean({ description: 'Default true; false keeps nothing.' })),
    stream: Type.Optional(Type.Boolean()),
    stream_options: Type.Optional(AnyObject),
    background: Type.Optional(Type.Boolean()),
    max_output_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
    temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
    top_p: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    presence_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
    frequency_penalty: Type.Optional(Type.Number({ minimum: -2, maximum: 2 })),
    metadata: Type.Optional(Metadata),
    include: Type.Optional(Type.Array(Type.String())),
    service_tier: Type.Optional(Type.String()),
    top_logprobs: Type.Optional(Type.Integer()),
    prompt_cache_key: Type.Optional(Type.String()),
    safety_identifier: Type.Optional(Type.String()),
  },
  { additionalProperties: true, title: 'CreateResponse' },
);
export type CreateBody = Static<typeof CreateBody>;

/** Honoured, or ignored by design, as docs/openai.md says. */
export const CREATE_FIELDS = Object.keys(CreateBody.properties);

/** Known of OpenAI's API and not supported here. */
export const REFUSED_FIELDS: Readonly<Record<string, string>> = {
  prompt: 'prompts are not kept on this node; send instructions and input',
  max_tool_calls: 'the node runs no tools of its own',
  context_management: 'send truncation "auto", or call /responses/compact',
  moderation: 'the node moderates nothing',
  prompt_cache_options: 'the cache follows the conversation',
  prompt_cache_retention: 'contexts are kept as long as their session lives',
  verbosity: 'the node does not steer how much a model says',
  stop: 'responses have no stop words',
};
