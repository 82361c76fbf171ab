import { type Static, Type } from 'typebox';
import { ModelChoice } from '../../../requests/model-choice.ts';
import type { Parameters } from '../../../requests/parameters.ts';
import { choice, contextId, sessionId, turnNumber, userId } from '../../../requests/request-fields.ts';
import { TurnOptions } from '../../../requests/turn-options.ts';
import { Metadata } from '../metadata.ts';
import { LLAMA_CPP_FIELDS, SamplingFields } from '../sampling.ts';
import { ToolFields } from '../tools.ts';
import { ChatMessage, MESSAGES_MAX } from './chat-messages.ts';

const TOP_LOGPROBS_MAX = 20;

const replyTokens = (description: string) =>
  Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description });

/** OpenAI's create, and what of DisCEdge's turns a client may say beside it. */
export const ChatBody = Type.Object(
  {
    ...ModelChoice,
    messages: Type.Array(ChatMessage, {
      minItems: 1,
      maxItems: MESSAGES_MAX,
      description:
        'The whole conversation: the node goes on from the longest part of it that it has stored. With `session_id` only what is new.',
    }),
    stream: Type.Optional(Type.Boolean()),
    stream_options: Type.Optional(
      Type.Object({
        include_usage: Type.Optional(Type.Boolean()),
        include_obfuscation: Type.Optional(Type.Literal(false)),
      }),
    ),
    ...SamplingFields,
    ...ToolFields,
    max_completion_tokens: Type.Optional(replyTokens('Most tokens to reply with.')),
    max_tokens: Type.Optional(replyTokens('The same as max_completion_tokens.')),
    logprobs: Type.Optional(Type.Boolean()),
    top_logprobs: Type.Optional(
      Type.Integer({ minimum: 0, maximum: TOP_LOGPROBS_MAX, description: 'Together with logprobs.' }),
    ),
    user: Type.Optional(userId({ description: 'Whose conversation it is; default `anonymous`.' })),
    store: Type.Optional(
      Type.Boolean({ description: 'False: nothing is written, and the conversation cannot be gone on from.' }),
    ),
    metadata: Type.Optional(Metadata),
    modalities: Type.Optional(Type.Array(choice(['text']), { minItems: 1, maxItems: 1 })),
    service_tier: Type.Optional(choice(['auto', 'default'])),
    safety_identifier: Type.Optional(Type.String({ description: 'Not looked at: nothing is reported to anybody.' })),
    prompt_cache_key: Type.Optional(Type.String({ description: 'Not looked at: the cache follows the conversation.' })),
    session_id: Type.Optional(
      sessionId({ description: 'A session of the node: messages are those of this turn alone.' }),
    ),
    turn: Type.Optional(turnNumber({ description: 'Number of this turn of the session, from 1.' })),
    context_id: Type.Optional(contextId({ description: 'The history to go on from, as the last reply named it.' })),
    ...TurnOptions,
  },
  { additionalProperties: true, title: 'ChatCompletionRequest' },
);
export type ChatBody = Static<typeof ChatBody>;

const NO_AUDIO = 'models here read and write text';

export const CHAT_PARAMETERS: Parameters = {
  known: [...Object.keys(ChatBody.properties), ...LLAMA_CPP_FIELDS],
  refused: {
    audio: NO_AUDIO,
    function_call: 'use tool_choice',
    functions: 'use tools',
    moderation: 'there is no moderation here',
    prediction: 'there are no predicted outputs',
    prompt_cache_options: 'the cache follows the conversation',
    prompt_cache_retention: 'the cache follows the conversation',
    reasoning_effort: 'no chat template here is told of it',
    verbosity: 'no chat template here is told of it',
    web_search_options: 'there is no web search',
  },
};
