import { DiscedgeError, isMissing } from '../../../../domain/errors.ts';
import { pause } from '../../../../waiting/pause.ts';
import type { AppParts } from '../../../app-parts.ts';
import type { ResponseRef } from './response-ref.ts';
import type { ResponseState } from './response-view.ts';
import type { Responses } from './responses.ts';
import type { RunningResponse } from './running-responses.ts';
import type { FoundResponse } from './stored-responses.ts';

/** How long a record may be on its way that its node has written, each time. */
const ARRIVAL_WAIT_MS = 1_000;
/** Between two questions to the node that works on a response. */
const ASK_AGAIN_MS = 250;
/** Times in a row that nobody knows of it and its record does not come. */
const UNHEARD_MAX = 3;

/** A response where it is found: worked on here or at another node, come to nothing, or stored. */
export type LocatedResponse =
  | { readonly kind: 'running'; readonly state: ResponseState; readonly live: RunningResponse }
  | { readonly kind: 'elsewhere'; readonly state: ResponseState }
  | { readonly kind: 'ended'; readonly state: ResponseState }
  | { readonly kind: 'stored'; readonly state: ResponseState; readonly found: FoundResponse };

export const isUnderWay = ({ status }: ResponseState) => status === 'queued' || status === 'in_progress';

/** Finds responses, whichever node works on them or made them. */
export class ResponseFinder {
  readonly #responses: Pick<Responses, 'running' | 'stored' | 'told'>;
  readonly #node: AppParts['node'];

  constructor(responses: Pick<Responses, 'running' | 'stored' | 'told'>, { node }: Pick<AppParts, 'node'>) {
    this.#responses = responses;
    this.#node = node;
  }

  /** Throws `response_not_found`, and `context_stale` for one that may come and of which no node tells. */
  async locate(ref: ResponseRef, signal: AbortSignal): Promise<LocatedResponse> {
    const { running, told } = this.#responses;
    const live = running.find(ref.answerId);
    if (live !== undefined) return { kind: 'running', state: live.state, live };
    const ended = running.endedWithout(ref.answerId);
    if (ended !== undefined) return { kind: 'ended', state: ended };
    const here = await this.stored(ref, signal, { maxWaitMs: 0 }).catch(unlessAbsent);
    if (here !== undefined) return { kind: 'stored', state: here.state, found: here };
    const state = await told.ask(ref, 'tell');
    if (state !== undefined) return { kind: isUnderWay(state) ? 'elsewhere' : 'ended', state };
    // It may have been stored since it was looked for.
    const found = await this.stored(ref, signal);
    return { kind: 'stored', state: found.state, found };
  }

  /** Waits for a response that another node works on to arrive here, or to have come to nothing. Throws `context_stale` where its node is gone. */
  async ended(ref: ResponseRef, signal: AbortSignal): Promise<LocatedResponse> {
    const { clock } = this.#node.environment;
    for (let unheard = 0; unheard < UNHEARD_MAX; ) {
      const found = await this.stored(ref, signal, { maxWaitMs: ARRIVAL_WAIT_MS }).catch(unlessAbsent);
      if (found !== undefined) return { kind: 'stored', state: found.state, found };
      const state = await this.#responses.told.ask(ref, 'tell');
      if (state !== undefined && !isUnderWay(state)) return { kind: 'ended', state };
      unheard = state === undefined ? unheard + 1 : 0;
      await pause(clock, ASK_AGAIN_MS, signal);
      signal.throwIfAborted();
    }
    throw new DiscedgeError(
      'context_stale',
      'the node that worked on the response does not answer, and its record has not arrived; ask again',
    );
  }

  /** Throws `response_not_found`, and `context_stale` for one that may still come. */
  async stored(ref: ResponseRef, signal: AbortSignal, wait?: { readonly maxWaitMs: number }): Promise<FoundResponse> {
    try {
      return await this.#responses.stored.find(ref, signal, wait);
    } catch (error) {
      throw isMissing(error) ? responseNotFound() : error;
    }
  }
}

export function responseNotFound(): DiscedgeError {
  return new DiscedgeError('response_not_found', 'there is no such response', { param: 'response_id' });
}

/** Of a first turn there is no trace at other nodes until it is stored. */
function unlessAbsent(error: unknown): undefined {
  const isAbsent =
    error instanceof DiscedgeError && (error.code === 'context_stale' || error.code === 'response_not_found');
  if (!isAbsent) throw error;
}
