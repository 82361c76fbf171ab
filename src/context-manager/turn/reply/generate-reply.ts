import { DiscedgeError } from '../../../domain/errors.ts';
import { type SessionKey, sessionKeyText } from '../../../domain/identifiers.ts';
import type { TokenSequence } from '../../../domain/token-sequence.ts';
import type { GenerationEnd, LlmService } from '../../../llm-service/llm-service.ts';
import type { SessionStates } from '../../sessions/session-states.ts';
import type { FairPlaces } from '../fair-places.ts';
import type { RunningTurn } from '../running-turn.ts';
import type { Share } from '../share.ts';
import type { ReplyOptions, TurnObserver } from '../turn.ts';
import type { ReadReply, ReplyReader } from './reply-reader.ts';

/** What the LLM Service works on: whose, and until when. */
export type LlmWork = Share & Pick<RunningTurn, 'stopping' | 'startWork'>;

/**
 * Lets the LLM Service answer a prompt, once there is a place for it, and passes the parts on, taken apart, while the client is there.
 * Throws what `generate` throws, and `llm_bad_reply` for a reply without an end.
 */
export async function generateReply(
  llm: LlmService,
  parts: {
    prompt: TokenSequence;
    maxTokens: number;
    /** `undefined` for a prompt that is no session's. */
    key: SessionKey | undefined;
    options: ReplyOptions;
    observer: TurnObserver;
    reader: ReplyReader;
    places: FairPlaces;
    states: Pick<SessionStates, 'generated'> | undefined;
    work: LlmWork;
    /** Called with how many ids of the reply there are more. */
    onIds: ((count: number) => void) | undefined;
  },
): Promise<{ end: GenerationEnd; read: ReadReply }> {
  const { prompt, maxTokens, key, observer, reader, places, states, work, onIds } = parts;
  const { sampling, stop, stream, tell } = parts.options;
  const promptTokens = prompt.length;
  const affinity = key && sessionKeyText(key);
  const asked = { prompt, maxTokens, stop, sampling, affinity, owner: key?.userId, stream, tell };
  const { signal } = work.stopping;
  const entering = places.enter(work, signal);
  if (entering !== undefined) await entering;
  work.startWork();
  try {
    for await (const event of llm.generate(asked, signal)) {
      if (event.kind === 'progress') {
        if (!observer.gone.aborted) observer.progress?.(event);
        continue;
      }
      if (event.kind === 'part') {
        onIds?.(event.ids.length);
        const piece = { ...event, parts: await reader.push(event), promptTokens };
        if (!observer.gone.aborted) observer.part(piece);
        continue;
      }
      const { deltas, ...read } = await reader.end(event.ids);
      if (deltas.length > 0 && !observer.gone.aborted)
        observer.part({ text: '', ids: [], parts: deltas, promptTokens });
      return { end: event, read };
    }
  } finally {
    places.leave(work);
    if (key !== undefined) states?.generated(key);
  }
  throw new DiscedgeError('llm_bad_reply', 'the LLM Service ended its reply without saying how');
}
