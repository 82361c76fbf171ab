import { type ContextOverflow, DiscedgeError } from '../../domain/errors.ts';
import type { TurnRequest } from '../turn/turn.ts';

/** What does not fit, and so what the client can do about it. */
const ADVICE = {
  context: 'shorten the message, start a new session, or send "overflow": "drop-oldest"',
  history: 'the conversation to begin with is too long; send less of it',
  message: 'the new message alone is too long; shorten it',
  prompt: 'shorten the prompt',
} as const;

/** What does not fit of a session's first turn. */
export function openingPart({ place }: Pick<TurnRequest, 'place'>): keyof typeof ADVICE {
  return 'opens' in place && place.history !== undefined && place.history.length > 0 ? 'history' : 'message';
}

/** What to say when prompt and reply do not fit. */
export function overflowError(
  what: keyof typeof ADVICE,
  { replyTokens, ...overflow }: ContextOverflow & { readonly replyTokens: number },
): DiscedgeError {
  const { promptTokens, windowTokens } = overflow;
  const neededTokens = promptTokens + replyTokens;
  return new DiscedgeError(
    'context_overflow',
    `${neededTokens} ids are needed and the context window holds ${windowTokens}: ${ADVICE[what]}`,
    { param: 'prompt', overflow },
  );
}
