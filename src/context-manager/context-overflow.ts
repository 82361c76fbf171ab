import type { OverflowPolicy } from '../domain/context-window.ts';
import { DiscedgeError } from '../domain/errors.ts';

/** What to say when context, message and reply do not fit; `neededTokens` counts all three. */
export function overflowError(neededTokens: number, windowTokens: number, overflow: OverflowPolicy): DiscedgeError {
  const advice =
    overflow === 'error'
      ? 'shorten the message, start a new session, or send "overflow": "drop-oldest"'
      : 'the new message alone is too long; shorten it';
  return new DiscedgeError(
    'context_overflow',
    `${neededTokens} ids are needed and the context window holds ${windowTokens}: ${advice}`,
    {
      param: 'prompt',
    },
  );
}
