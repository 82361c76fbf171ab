import type { WholeConversation } from '../../../../context-manager/sessions/conversations.ts';
import type { ForwardRequest, ReplyOptions, TurnRequest } from '../../../../context-manager/turn/turn.ts';
import { type Principal, userOf } from '../../../../domain/principals/principal.ts';
import type { TipRepeat, TurnPlace } from '../../../../domain/session/turn-decision.ts';
import type { AppOptions } from '../../../app-parts.ts';
import { invalid, requireKnown } from '../../../requests/parameters.ts';
import { turnOptions } from '../../../requests/turn-options.ts';
import { samplingOf } from '../sampling.ts';
import { formOf, toolsOf } from '../tools.ts';
import { CHAT_PARAMETERS, type ChatBody } from './chat-body.ts';
import { messagesOf } from './chat-messages.ts';

/** What one of the choices of a request is made of. */
export type ChatRequest =
  /** The client has the conversation and sends it whole. */
  | { readonly kind: 'whole'; readonly request: WholeConversation; readonly sent: TipRepeat }
  /** The node has it. */
  | { readonly kind: 'turn'; readonly request: TurnRequest }
  /** Nobody keeps it. */
  | { readonly kind: 'forward'; readonly request: ForwardRequest };

/** What a request asks for, by choice. Throws `invalid_request` and `unsupported_parameter` for what its schema cannot say. */
export function chatRequests(
  body: ChatBody,
  { sent, principal }: { readonly sent: TipRepeat; readonly principal: Principal },
  options: AppOptions,
): readonly ChatRequest[] {
  requireKnown(body, CHAT_PARAMETERS);
  const { n = 1, stream = false, store = options.keepConversations } = body;
  const tools = toolsOf(body);
  const form = formOf(body);
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  const placed = placeOf(body);
  const userId = userOf(principal, body.user);
  const messages = messagesOf(body.messages, { isWhole: placed === undefined });
  if (!store && placed !== undefined)
    throw invalid('store', 'a turn of a session is kept: leave out store or session_id');
  return Array.from({ length: n }, (_, choice): ChatRequest => {
    const reply: ReplyOptions = {
      ...{ maxTokens, stream },
      ...samplingOf(body, { choice, probabilities: probabilitiesOf(body) }),
      ...(form !== undefined && { form }),
    };
    const before = tools.length > 0 && { preamble: { instructions: undefined, tools } };
    if (!store)
      return { kind: 'forward', request: { ...reply, ...before, prompt: { conversation: messages }, userId } };
    const request: WholeConversation = {
      ...reply,
      ...before,
      ...turnOptions(body, options),
      userId,
      mode: undefined,
      messages,
      ...(choice > 0 && { choice }),
    };
    if (placed === undefined) return { kind: 'whole', request, sent };
    return { kind: 'turn', request: { ...request, ...placed } };
  });
}

function placeOf({
  session_id,
  turn,
  context_id,
  n = 1,
}: ChatBody): Pick<TurnRequest, 'sessionId' | 'place'> | undefined {
  if (session_id === undefined && turn === undefined && context_id === undefined) return undefined;
  if (n > 1) throw invalid('n', 'a turn of a session has one reply');
  return { sessionId: session_id, place: turnPlace(turn, context_id) };
}

function turnPlace(turn: ChatBody['turn'], contextId: ChatBody['context_id']): TurnPlace {
  if (turn !== undefined) return { turn, contextId };
  return contextId === undefined ? { opens: true } : { after: contextId };
}

function probabilitiesOf({ logprobs = false, top_logprobs: top }: ChatBody): number | undefined {
  if (top !== undefined && !logprobs) throw invalid('top_logprobs', 'top_logprobs is for logprobs: true');
  // Without any the LLM Service tells nothing; what is not asked for is left out again.
  return logprobs ? Math.max(1, top ?? 0) : undefined;
}
