import type { WholeConversation } from '../../../context-manager/sessions/conversations.ts';
import type { ForwardRequest, ReplyOptions } from '../../../context-manager/turn/turn.ts';
import { type Principal, userOf } from '../../../domain/principals/principal.ts';
import type { AppOptions } from '../../app-parts.ts';
import { requireKnown } from '../../requests/parameters.ts';
import { turnOptions } from '../../requests/turn-options.ts';
import { conversationOf } from './conversation.ts';
import { MESSAGES_PARAMETERS, type MessagesBody } from './messages-body.ts';
import { formOf, preambleOf } from './tools.ts';

export type MessageRequest =
  /** The client has the conversation and sends it whole. */
  | { readonly kind: 'whole'; readonly request: WholeConversation }
  /** Nobody keeps it. */
  | { readonly kind: 'forward'; readonly request: ForwardRequest };

/** What a body asks for. Throws `invalid_request` and `unsupported_parameter` for what its schema cannot say. */
export function messageRequest(body: MessagesBody, principal: Principal, options: AppOptions): MessageRequest {
  requireKnown(body, MESSAGES_PARAMETERS);
  const { max_tokens: maxTokens, stop_sequences: stop = [], stream = false, temperature, top_p, top_k } = body;
  const messages = conversationOf(body);
  const preamble = preambleOf(body);
  const form = formOf(body);
  const sampling = Object.entries({ temperature, top_p, top_k }).filter(([, value]) => value !== undefined);
  const reply: ReplyOptions & Pick<ForwardRequest, 'preamble'> = {
    ...{ maxTokens, stream, sampling: Object.fromEntries(sampling) },
    stop: stop.filter((word) => word !== ''),
    ...(form !== undefined && { form }),
    ...(preamble !== undefined && { preamble }),
  };
  const { store = options.keepConversations, metadata } = body;
  const userId = userOf(principal, metadata?.user_id ?? undefined);
  if (!store) return { kind: 'forward', request: { ...reply, prompt: { conversation: messages }, userId } };
  return { kind: 'whole', request: { ...reply, ...turnOptions(body, options), userId, mode: undefined, messages } };
}
