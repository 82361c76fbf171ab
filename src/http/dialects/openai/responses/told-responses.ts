import {
  ANSWER_TOLD_BYTES_MAX,
  type AnswerQuestion,
  type AnswersElsewhere,
  type AnswerWish,
} from '../../../../context-store/answers-elsewhere.ts';
import { DiscedgeError } from '../../../../domain/errors.ts';
import { NO_PREAMBLE } from '../../../../domain/record/preamble.ts';
import type { ResponseRef } from './response-ref.ts';
import type { ResponseState } from './response-view.ts';
import type { RunningResponses } from './running-responses.ts';

/** Responses without a record, as nodes tell each other of them: those that one works on, and those that came to nothing. */
export class ToldResponses {
  readonly #running: RunningResponses;
  readonly #elsewhere: AnswersElsewhere | undefined;

  constructor(running: RunningResponses, elsewhere: AnswersElsewhere | undefined) {
    this.#running = running;
    this.#elsewhere = elsewhere;
    elsewhere?.serve((question) => this.#tell(question));
  }

  /** What the node says of it that works on it, or did; `undefined` where none that can be reached knows of it. */
  async ask({ answerId, ...key }: ResponseRef, wish: AnswerWish): Promise<ResponseState | undefined> {
    const told = await this.#elsewhere?.ask({ key, answerId, wish });
    return told && stateIn(told);
  }

  async #tell({ answerId, wish }: AnswerQuestion): Promise<Uint8Array | undefined> {
    const live = this.#running.find(answerId);
    if (wish !== 'tell') live?.cancel(cancelled());
    const state =
      wish === 'tell'
        ? (live?.state ?? this.#running.endedWithout(answerId))
        : ((await live?.ended) ?? this.#running.endedWithout(answerId));
    if (wish === 'forget') this.#running.forget(answerId);
    return state && toldOf(state);
  }
}

export function cancelled(): DiscedgeError {
  return new DiscedgeError('turn_cancelled', 'the response was cancelled; nothing was stored');
}

/** `undefined` for one that is stored: its record says more. What would be too long is told without what the request said. */
function toldOf(state: ResponseState): Uint8Array | undefined {
  if (state.status === 'completed' || state.status === 'incomplete') return undefined;
  const told = Buffer.from(JSON.stringify(state));
  if (told.length <= ANSWER_TOLD_BYTES_MAX) return told;
  const { background = false } = state.said;
  return Buffer.from(JSON.stringify({ ...state, said: { background }, preamble: NO_PREAMBLE }));
}

/** `undefined` for what a build of another version tells otherwise. */
function stateIn(told: Uint8Array): ResponseState | undefined {
  try {
    const state = JSON.parse(Buffer.from(told).toString('utf8')) as Partial<ResponseState> | null;
    const isState = typeof state?.id === 'string' && typeof state.status === 'string' && Array.isArray(state.output);
    return isState && state.said !== undefined && state.preamble !== undefined ? (state as ResponseState) : undefined;
  } catch {
    return undefined;
  }
}
