import { type ContextOverflow, DiscedgeError } from '../../domain/errors.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { TurnRequest } from '../turn/turn.ts';

/** What does not fit, and so what the client can do about it. */
const ADVICE = {
  context: 'shorten the message, start a new session, or send "overflow": "drop-oldest", "summarize" or "retrieve"',
  history: 'the conversation to begin with is too long; send less of it',
  message: 'the new message alone is too long; shorten it',
  prompt: 'shorten the prompt',
} as const;

/** What does not fit of a session's first turn. */
export function openingPart({ place }: Pick<TurnRequest, 'place'>): keyof typeof ADVICE {
  return 'opens' in place && place.history !== undefined && place.history.length > 0 ? 'history' : 'message';
}

interface NeededRoom extends ContextOverflow {
  readonly replyTokens: number;
}

/** What to say when prompt and reply do not fit. */
export function overflowError(what: keyof typeof ADVICE, needed: NeededRoom): DiscedgeError {
  return new DiscedgeError('context_overflow', ...told(what, needed));
}

/** The prompt fits once a summary stands for the turns up to one, and none is there. Who does not make one passes on what it says. */
export class SummaryNeeded extends DiscedgeError {
  /** The last of the turns that it has to stand for. */
  readonly upTo: Turn;

  constructor(upTo: Turn, needed: NeededRoom) {
    super('context_overflow', ...told('context', needed));
    this.upTo = upTo;
  }
}

function told(what: keyof typeof ADVICE, { replyTokens, ...overflow }: NeededRoom) {
  const { promptTokens, windowTokens } = overflow;
  const neededTokens = promptTokens + replyTokens;
  const message = `${neededTokens} ids are needed and the context window holds ${windowTokens}: ${ADVICE[what]}`;
  return [message, { param: 'prompt', overflow }] as const;
}
