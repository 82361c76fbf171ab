import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { layersLeftOutOf } from '../../domain/record/layers-left-out.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { summaryBeyond } from '../../domain/session/session-summaries.ts';
import { commonPrefixLength, type TokenSequence } from '../../domain/token-sequence.ts';
import type { Prompt } from '../modes/mode.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import { OWN_REQUEST } from '../turn/own-request.ts';
import type { TurnRequest } from '../turn/turn.ts';

/** Builds a turn's prompt as when it is taken. */
export type BuildPrompt = (
  request: TurnRequest,
  place: { readonly session: CachedSession; readonly base: Turn | undefined },
) => Promise<{ readonly prompt: Prompt }>;

/** Two messages of which no id is the same. */
const PROBES = ['A', '0'] as const;

/**
 * The ids that the prompt of a session's next turn begins with, whatever its message: the context as the chat template has it under a
 * next turn, and what stands before the message. `undefined` where there is none to expect, and for a context that the window does
 * not hold. Where the last turn left out the oldest ones, the next is taken to do so too. Throws what the template throws.
 */
export async function nextPrompt(session: CachedSession, build: BuildPrompt): Promise<TokenSequence | undefined> {
  const { history } = session;
  const base = history.tip;
  if (base === undefined || session.deleted || session.corrupt > 0) return undefined;
  // Beside the session: a turn may take its folded context meanwhile.
  const beside: CachedSession = { ...session, tokens: undefined };
  const [first, second] = [await probe(beside, base, PROBES[0], build), await probe(beside, base, PROBES[1], build)];
  if (first === undefined || second === undefined) return undefined;
  if (history.tip === base && session.tokens?.tip !== base.hash) session.tokens = beside.tokens;
  return first.slice(0, commonPrefixLength(first, second));
}

async function probe(
  session: CachedSession,
  base: Turn,
  text: string,
  build: BuildPrompt,
): Promise<TokenSequence | undefined> {
  try {
    const { prompt } = await build(nextRequest(session, base, text), { session, base });
    const ids = prompt.ids.slice();
    prompt.evaluated();
    return ids;
  } catch (error) {
    if (error instanceof DiscedgeError && error.code === 'context_overflow') return undefined;
    throw error;
  }
}

function nextRequest({ key, history }: CachedSession, base: Turn, text: string): TurnRequest {
  const answered = history.lastAnswered(base)?.record;
  const start = answered?.contextStart ?? 1;
  const isSummarized = summaryBeyond(history, base) !== undefined;
  const cut = start > 1 || isSummarized;
  return {
    ...OWN_REQUEST,
    userId: key.userId,
    sessionId: key.sessionId,
    place: { turn: (base.record.turn + 1) as TurnNumber, contextId: base.hash },
    messages: [{ role: 'user', content: text }],
    overflow: isSummarized ? 'summarize' : cut ? 'drop-oldest' : 'error',
    withoutLayers: answered === undefined ? [] : layersLeftOutOf(answered),
    // A turn that leaves turns out leaves room for a reply of the usual length.
    maxTokens: cut ? undefined : 1,
  };
}
