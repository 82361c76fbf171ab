import type { ForwardRequest, ReplyOptions, TurnRequest } from '../../../context-manager/turn/turn.ts';
import { nearest } from '../../../domain/nearest.ts';
import { type Principal, userOf } from '../../../domain/principals/principal.ts';
import type { ContextMode, Message } from '../../../domain/record/turn-record.ts';
import type { TurnPlace } from '../../../domain/session/turn-decision.ts';
import { type RememberedTurn, rememberedFault } from '../../../domain/session/turn-repair.ts';
import type { TokenId, TokenSequence } from '../../../domain/token-sequence.ts';
import type { AppOptions } from '../../app-parts.ts';
import { invalid } from '../../requests/parameters.ts';
import { turnOptions } from '../../requests/turn-options.ts';
import { type CompletionBody, REPAIR_TEXT_CHARS_MAX, samplingFields, unmistakableFields } from './completion-body.ts';
import { isWanted } from './response-fields.ts';

/** A request of `/completion`: a turn to be taken, or a prompt to be forwarded. */
export type Completion =
  | { readonly kind: 'turn'; readonly request: TurnRequest }
  | { readonly kind: 'forward'; readonly request: ForwardRequest };

export interface CompletionCircumstances {
  readonly options: AppOptions;
  readonly principal: Principal;
  /** Where the body names no mode. */
  readonly defaultMode: ContextMode;
}

/** What a body asks for. Throws `invalid_request`, naming the field, for what its schema cannot say. */
export function completionOf(
  body: CompletionBody,
  { options, principal, defaultMode }: CompletionCircumstances,
): Completion {
  if ('context' in body) {
    throw invalid(
      'context',
      'the node keeps the context: send session_id and turn, or mode "client-side" with the whole prompt',
    );
  }
  const { n_predict, max_tokens, stop = [], stream = false } = body;
  const { return_progress: progress = false, timings_per_token: usage = false } = body;
  const asked = n_predict ?? max_tokens;
  const reply: ReplyOptions = {
    maxTokens: asked === -1 ? 'most' : asked,
    stop: (typeof stop === 'string' ? [stop] : stop).filter((word) => word !== ''),
    sampling: samplingOf(body),
    stream,
    tell: stream && (progress || usage) ? { progress, usage } : undefined,
  };
  const userId = userOf(principal, body.user_id);
  const mode = body.mode ?? defaultMode;
  const repair = repairOf(body, { ...reply, mode });
  if (mode === 'client-side') {
    const promptText = isWanted('prompt', body.response_fields);
    return { kind: 'forward', request: { ...reply, prompt: clientPrompt(body.prompt), promptText, userId } };
  }
  const request: TurnRequest = {
    maxTokens: reply.maxTokens,
    stop: reply.stop,
    sampling: reply.sampling,
    stream: reply.stream,
    tell: reply.tell,
    userId,
    sessionId: body.session_id,
    place: placeOf(body),
    mode: body.mode === undefined ? undefined : mode,
    messages: messagesOf(body),
    ...turnOptions(body, options),
    ...(repair !== undefined && { repair }),
  };
  return { kind: 'turn', request };
}

function placeOf({ turn, context_id: contextId }: CompletionBody): TurnPlace {
  if (turn !== undefined) return { turn, contextId };
  return contextId === undefined ? { opens: true } : { after: contextId };
}

function repairOf(
  { repair, turn, context_id: contextId }: CompletionBody,
  { maxTokens, mode }: Pick<ReplyOptions, 'maxTokens'> & { readonly mode: ContextMode },
): readonly RememberedTurn[] | undefined {
  if (repair === undefined) return undefined;
  if (mode === 'client-side')
    throw invalid('repair', 'repair is for sessions; in mode "client-side" nothing is stored');
  if (maxTokens === 0) throw invalid('repair', 'repair comes with a turn; n_predict 0 takes none');
  const told = repair.map(({ context_id: contextId, ...rest }): RememberedTurn => ({ ...rest, contextId }));
  const fault = rememberedFault(told, { turn, contextId });
  if (fault !== undefined) throw invalid('repair', `repair ${fault}`);
  const chars = told.reduce(
    (sum, { system = '', prompt, reply }) => sum + system.length + prompt.length + reply.length,
    0,
  );
  if (chars > REPAIR_TEXT_CHARS_MAX)
    throw invalid('repair', `repair holds more than ${REPAIR_TEXT_CHARS_MAX} characters`);
  return told;
}

function samplingOf(body: CompletionBody): ReplyOptions['sampling'] {
  const sampling: Record<string, unknown> = {};
  for (const { name, value, isKnown } of samplingFields(body)) {
    const meant = isKnown ? undefined : nearest(name, unmistakableFields);
    if (meant !== undefined) throw invalid(name, `unknown field ${name}: did you mean ${meant}?`);
    sampling[name] = value;
  }
  return sampling;
}

function messagesOf({ prompt, system }: CompletionBody): Message[] {
  if (typeof prompt !== 'string') {
    throw invalid('prompt', 'prompt is the user\'s message, a string; ids and lists are for mode "client-side"');
  }
  const user: Message = { role: 'user', content: prompt };
  return system === undefined ? [user] : [{ role: 'system', content: system }, user];
}

/** Joins neighbouring ids, so that a prompt of ids is one piece. */
function clientPrompt(prompt: CompletionBody['prompt']): Array<string | TokenSequence> {
  if (typeof prompt === 'string') return [prompt];
  if (prompt.length > 1 && prompt.every((piece) => typeof piece === 'string')) {
    throw invalid('prompt', 'prompt is a list of texts, which for llama.cpp are several prompts; send one at a time');
  }
  const pieces: Array<string | TokenId[]> = [];
  for (const piece of prompt) {
    const last = pieces.at(-1);
    if (typeof piece === 'string') pieces.push(piece);
    else if (Array.isArray(last)) last.push(piece);
    else pieces.push([piece]);
  }
  if (pieces.length === 0) throw invalid('prompt', 'prompt is empty');
  return pieces;
}
