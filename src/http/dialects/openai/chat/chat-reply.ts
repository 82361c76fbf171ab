import { type Static, Type } from 'typebox';
import type { Reply, TurnReply } from '../../../../context-manager/turn/turn.ts';
import type { ContentPart, ToolCallPart } from '../../../../domain/record/message-content.ts';
import { choice } from '../../../request-fields.ts';
import { Logprobs, logprobsIn } from '../logprobs.ts';
import { Usage, usageOf } from '../usage.ts';
import type { ChatBody } from './chat-body.ts';
import { ToolCall } from './chat-messages.ts';

const FINISH_REASONS = ['stop', 'length', 'tool_calls'] as const;

/** Where in its session a reply now is, so that whoever knows of turns can go on by them. */
export const TurnPlaceTold = Type.Object(
  {
    session_id: Type.String(),
    turn: Type.Integer({ minimum: 1 }),
    context_id: Type.String(),
    based_on_turn: Type.Integer({
      minimum: 0,
      description: 'The stored turn whose exact ids it went on from; 0: none.',
    }),
    replayed: Type.Boolean({ description: 'Answered from the record.' }),
    arbitrated: Type.Optional(Type.Boolean()),
    node: Type.String(),
    dropped_turns: Type.Integer({ minimum: 0, description: 'Turns at the beginning that the model no longer saw.' }),
    tokens_rewritten: Type.Integer({
      minimum: 0,
      description: 'Ids of the context before that were evaluated again, because they stand otherwise now.',
    }),
    exact_ids: Type.Boolean(),
  },
  { title: 'TurnPlace', description: 'Absent where nothing is stored.' },
);

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

/** One of the replies to a request; with a place where it is stored. */
export type ChatReply = Reply & Partial<Omit<TurnReply, keyof Reply>>;

/** What is the same for all of a reply. */
export interface ChatHead {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly node: string;
}

export function chatCompletion(
  { node, ...head }: ChatHead,
  replies: readonly ChatReply[],
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

export function placeTold(reply: ChatReply, node: string): { discedge?: Static<typeof TurnPlaceTold> } {
  const { sessionId, turn, contextId } = reply;
  if (sessionId === undefined || turn === undefined || contextId === undefined) return {};
  return {
    discedge: {
      ...{ session_id: sessionId, turn, context_id: contextId, node },
      based_on_turn: reply.basedOnTurn ?? 0,
      replayed: reply.replayed ?? false,
      ...(reply.arbitrated !== undefined && { arbitrated: reply.arbitrated }),
      dropped_turns: reply.droppedTurns ?? 0,
      tokens_rewritten: reply.rewrittenTokens ?? 0,
      exact_ids: reply.exact,
    },
  };
}

/** At least one probable id had to be asked for. */
export function withoutUnasked(
  logprobs: Logprobs | undefined,
  { top_logprobs: top = 0 }: ChatBody,
): Logprobs | undefined {
  if (logprobs === undefined || top > 0) return logprobs;
  return { ...logprobs, content: logprobs.content.map((one) => ({ ...one, top_logprobs: [] })) };
}

function messageOf(parts: readonly ContentPart[]): Static<typeof ChatReplyMessage> {
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
