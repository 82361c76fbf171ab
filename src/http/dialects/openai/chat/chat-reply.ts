import { type Static, Type } from 'typebox';
import type { Reply } from '../../../../context-manager/turn/turn.ts';
import type { ContentPart, ToolCallPart } from '../../../../domain/record/message-content.ts';
import { choice } from '../../../requests/request-fields.ts';
import { type PlacedReply, placeTold, TurnPlaceTold } from '../../../turn-place-told.ts';
import { Logprobs, logprobsIn } from '../logprobs.ts';
import { Usage, usageOf } from '../usage.ts';
import type { ChatBody } from './chat-body.ts';
import { ToolCall } from './chat-messages.ts';

const FINISH_REASONS = ['stop', 'length', 'tool_calls'] as const;

const ChatReplyMessage = Type.Object({
  role: choice(['assistant']),
  content: Type.Union([Type.String(), Type.Null()]),
  refusal: Type.Null(),
  reasoning_content: Type.Optional(Type.String({ description: 'What the model thought; absent where it did not.' })),
  tool_calls: Type.Optional(Type.Array(ToolCall)),
});

export const ChatCompletion = Type.Object(
  {
    id: Type.String(),
    object: choice(['chat.completion']),
    created: Type.Integer({ description: 'In seconds since 1970.' }),
    model: Type.String(),
    choices: Type.Array(
      Type.Object({
        index: Type.Integer({ minimum: 0 }),
        message: ChatReplyMessage,
        logprobs: Type.Union([Logprobs, Type.Null()]),
        finish_reason: choice(FINISH_REASONS),
        discedge: Type.Optional(TurnPlaceTold),
      }),
    ),
    usage: Usage,
  },
  { title: 'ChatCompletion' },
);
export type ChatCompletion = Static<typeof ChatCompletion>;

/** What is the same for all of a reply. */
export interface ChatHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly node: string;
}

export function chatCompletion(
  { node, ...head }: ChatHead,
  replies: readonly PlacedReply[],
  body: ChatBody,
): ChatCompletion {
  return {
    ...head,
    object: 'chat.completion',
    choices: replies.map((reply, index) => ({
      index,
      message: messageOf(reply.parts),
      logprobs: (body.logprobs && withoutUnasked(logprobsIn(reply.fields), body)) || null,
      finish_reason: finishReason(reply),
      ...placeTold(reply, node),
    })),
    usage: usageOf(replies),
  };
}

export function finishReason({ stop, parts }: Pick<Reply, 'stop' | 'parts'>): (typeof FINISH_REASONS)[number] {
  if (stop.kind === 'limit') return 'length';
  return parts.some(({ type }) => type === 'tool-call') ? 'tool_calls' : 'stop';
}

/** At least one probable id had to be asked for. */
export function withoutUnasked(
  logprobs: Logprobs | undefined,
  { top_logprobs: top = 0 }: ChatBody,
): Logprobs | undefined {
  if (logprobs === undefined || top > 0) return logprobs;
  return { ...logprobs, content: logprobs.content.map((one) => ({ ...one, top_logprobs: [] })) };
}

export function messageOf(parts: readonly ContentPart[]): Static<typeof ChatReplyMessage> {
  const joined = (wanted: 'text' | 'thinking') =>
    parts.flatMap((part) => (part.type === wanted ? [(part as { text: string }).text] : [])).join('');
  const [text, thought] = [joined('text'), joined('thinking')];
  const calls = parts.filter((part): part is ToolCallPart => part.type === 'tool-call');
  return {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    refusal: null,
    ...(thought !== '' && { reasoning_content: thought }),
    ...(calls.length > 0 && { tool_calls: calls.map(toolCallOf) }),
  };
}

function toolCallOf({ callId, name, arguments: args }: ToolCallPart): Static<typeof ToolCall> {
  return { id: callId, type: 'function', function: { name, arguments: args } };
}
