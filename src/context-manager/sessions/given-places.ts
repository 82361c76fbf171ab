import type { SessionId } from '../../domain/identifiers.ts';
import type { TipRepeat, TurnPlace } from '../../domain/session/turn-decision.ts';
import type { TurnRequest } from '../turn/turn.ts';

/** Replies that nobody has read and whose requests are remembered: a client comes back at once, or never. */
const UNREAD_MAX = 256;

/** The place that a request was given. What it said is not kept with it: whoever asks again says it again. */
export interface GivenPlace {
  readonly sessionId: SessionId | undefined;
  /** Without the conversation that it may open with. */
  readonly place: TurnPlace;
  /** How many of the conversation's last messages are the turn's own. */
  readonly added: number;
}

/** Requests under way, and whether their client is still there. */
interface UnderWay {
  readonly given: GivenPlace;
  readonly gone: AbortSignal;
}

/** The places of requests that may come again, by what they ask. */
export class GivenPlaces {
  /** One that comes again joins the first. */
  readonly #underWay = new Map<string, UnderWay>();
  /** Those whose client had left before it was answered: nobody has that reply, so the same request is the same turn. */
  readonly #unread = new Map<string, GivenPlace>();

  /** Where the same request was sent before: as its client says, or because the first one's client had left. */
  find(name: string, sent: TipRepeat): GivenPlace | undefined {
    const underWay = this.#underWay.get(name);
    const unread = this.#unread.get(name);
    this.#unread.delete(name);
    return sent !== 'new' || underWay?.gone.aborted ? (underWay?.given ?? unread) : unread;
  }

  /** The request is under way until what is returned is called. */
  begin(name: string, { sessionId, place, messages }: TurnRequest, gone: AbortSignal): () => void {
    const own: TurnPlace = 'opens' in place ? { opens: true, drawn: place.drawn ?? false } : place;
    const begun: UnderWay = { given: { sessionId, place: own, added: messages.length }, gone };
    this.#underWay.set(name, begun);
    return () => {
      if (this.#underWay.get(name) === begun) this.#underWay.delete(name);
      if (gone.aborted) this.#noteUnread(name, begun.given);
    };
  }

  #noteUnread(name: string, given: GivenPlace): void {
    this.#unread.set(name, given);
    const [oldest] = this.#unread.keys();
    if (this.#unread.size > UNREAD_MAX && oldest !== undefined) this.#unread.delete(oldest);
  }
}
