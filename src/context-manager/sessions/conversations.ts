import { createHash } from 'node:crypto';
import {
  type KeygroupId,
  type SessionId,
  type SessionKeyText,
  sessionKeyText,
  type TurnNumber,
  type UserId,
} from '../../domain/identifiers.ts';
import { type ConversationDigest, conversationsOf, digestAfter } from '../../domain/record/conversation-digest.ts';
import { NO_PREAMBLE } from '../../domain/record/preamble.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { TipRepeat } from '../../domain/session/turn-decision.ts';
import { Pause } from '../../waiting/pause.ts';
import type { NodeResources } from '../node-resources.ts';
import { requestDigest } from '../turn/request-digest.ts';
import { openedWith, type TurnRequest } from '../turn/turn.ts';
import { type GivenPlace, GivenPlaces } from './given-places.ts';

/** A turn whose client sends the whole conversation: all that was said before, as it has it, and what is new. */
export type WholeConversation = Omit<TurnRequest, 'sessionId' | 'place' | 'conversation'>;

/** How long a turn that was just taken elsewhere may be on its way here, where not all of a conversation is known. */
const ON_ITS_WAY_MS = 500;
const FIRST = 1 as TurnNumber;

export interface ConversationsParts {
  readonly keygroup: KeygroupId;
  readonly node: NodeResources;
}

/** A stored turn up to whose reply a conversation is known. */
interface Known {
  readonly turn: Turn;
  /** Messages of the conversation that it has, its own reply among them. */
  readonly messages: number;
}

/** With the digest of the conversation up to each of its messages. */
interface Digested {
  readonly whole: WholeConversation;
  readonly digests: readonly ConversationDigest[];
  /** Of all of it. */
  readonly asked: ConversationDigest;
}

/**
 * Gives conversations that clients send whole their place: after the longest part of it that is stored and is a prefix of what
 * was sent, message by message. What is not known opens a session.
 */
export class Conversations {
  readonly #parts: ConversationsParts;
  readonly #given = new GivenPlaces();
  /** Sessions whose next turn has been given to somebody, and to how many. */
  readonly #taken = new Map<SessionKeyText, number>();

  constructor(parts: ConversationsParts) {
    this.#parts = parts;
  }

  /**
   * Runs `take` with the turn in its place. `sent` says whether the request has been sent before: then it comes to the place of
   * the first, and so to its answer; so it does where the client of the first had left before it was answered, whatever it says.
   * Throws what the store throws; `gone.reason` on abort.
   */
  async run<T>(
    said: WholeConversation,
    sent: TipRepeat,
    gone: AbortSignal,
    take: (request: TurnRequest) => Promise<T>,
  ): Promise<T> {
    // Who says everything each time has no tools where none are told of, whatever the turn before had.
    const whole = { ...said, preamble: said.preamble ?? NO_PREAMBLE };
    const digested = digestsOf(whole);
    const name = nameOf(digested);
    const first = this.#given.find(name, sent);
    if (first !== undefined) return take(placedAgain(digested, first, sent === 'new' ? 'repeated' : sent));
    const request =
      (sent === 'new' ? undefined : await this.#answered(digested, sent)) ??
      (await this.#after(digested, sent, gone)) ??
      this.#taking(this.#opening(digested, sent));
    const end = this.#given.begin(name, request, gone);
    try {
      return await take(request);
    } finally {
      this.#giveBack(request);
      end();
    }
  }

  /** The place of the turn that has answered this request. */
  async #answered(digested: Digested, sent: TipRepeat): Promise<TurnRequest | undefined> {
    const { whole, digests, asked } = digested;
    for (const { turn, history } of await this.#found(whole.userId, asked)) {
      const { record } = turn;
      if (conversationsOf(record)?.asked !== asked) continue;
      const base = record.parent === undefined ? undefined : history.get(record.parent);
      const messages = base && messagesIn(base, digests);
      if (base !== undefined && messages === undefined) continue;
      const request =
        base !== undefined && messages !== undefined
          ? goingOn(digested, { turn: base, messages }, sent)
          : this.#openedBefore(digested, sent, record.sessionId);
      const digest = requestDigest(request, base === undefined ? FIRST : undefined);
      if (digest !== record.requestDigest || request.sessionId !== record.sessionId) continue;
      return this.#taking(request);
    }
    return undefined;
  }

  /** After the longest part that is known here, or becomes known while it may be on its way. */
  async #after(digested: Digested, sent: TipRepeat, gone: AbortSignal): Promise<TurnRequest | undefined> {
    const { messages, userId, maxWaitMs } = digested.whole;
    // A system message can only open a session.
    const system = messages.findLastIndex(({ role }) => role === 'system');
    const isPast = (at: number) => at > system && at < messages.length - 1;
    const replies = messages.flatMap(({ role }, at) => (role === 'assistant' && isPast(at) ? [at] : []));
    const last = replies.at(-1);
    if (last === undefined) return undefined;
    const arrival = this.#arrivalOf(digested.digests[last] as ConversationDigest, maxWaitMs, gone);
    try {
      let known = await this.#longest(userId, digested.digests, replies);
      if (known?.messages !== last + 1 && arrival !== undefined) {
        if (known !== undefined) this.#giveBack(known.turn.record);
        await arrival.over;
        gone.throwIfAborted();
        known = await this.#longest(userId, digested.digests, replies);
      }
      return known && goingOn(digested, known, sent);
    } finally {
      arrival?.end();
    }
  }

  /** Its session is taken, and to be given back. */
  async #longest(
    userId: UserId,
    digests: readonly ConversationDigest[],
    replies: readonly number[],
  ): Promise<Known | undefined> {
    for (const at of [...replies].reverse()) {
      const digest = digests[at] as ConversationDigest;
      const found = (await this.#found(userId, digest)).filter(({ turn }) =>
        conversationsOf(turn.record)?.answered.includes(digest),
      );
      // Who goes on at the same time from the same words has another session, where there is one.
      const free = found.find(({ turn, history }) => !history.hasChild(turn.hash) && !this.#isTaken(turn.record));
      const turn = (free ?? found[0])?.turn;
      if (turn === undefined) continue;
      this.#taking(turn.record);
      return { turn, messages: at + 1 };
    }
    return undefined;
  }

  /** Turns in which that conversation was had, as far as they can be gone on from; newest first. */
  async #found(userId: UserId, digest: ConversationDigest) {
    const { keygroup, node } = this.#parts;
    const places = await node.records.findConversation({ keygroup, userId, digest });
    const keyOf = (sessionId: SessionId) => ({ keygroup, userId, sessionId });
    const sessions = await Promise.all(places.map(({ sessionId }) => node.records.load(keyOf(sessionId))));
    return sessions.flatMap(({ deleted, corrupt, history }, at) => {
      const contextId = places[at]?.contextId;
      const turn = deleted || corrupt > 0 || contextId === undefined ? undefined : history.get(contextId);
      return turn === undefined ? [] : [{ turn, history }];
    });
  }

  /** Over when a turn with that conversation arrives, or has had time to; `undefined` where none can. */
  #arrivalOf(digest: ConversationDigest, maxWaitMs: number, gone: AbortSignal): Pause | undefined {
    const { keygroup, node } = this.#parts;
    // What is heard of the others is a moment old: a turn may have been taken since.
    if (node.replica.outlookFor({ keygroup }) === 'unshared') return undefined;
    const pause = new Pause(node.environment.clock, Math.min(maxWaitMs, ON_ITS_WAY_MS), gone);
    const stop = node.records.onRecord(({ record }) => {
      if (conversationsOf(record)?.answered.includes(digest)) pause.end();
    });
    void pause.over.then(stop);
    return pause;
  }

  #opening(digested: Digested, sent: TipRepeat): TurnRequest {
    const { history, messages } = openedWith(digested.whole.messages);
    return {
      ...digested.whole,
      place: { opens: true, history, drawn: typeof sent === 'string' },
      sessionId: this.#openedAs(digested, sent),
      messages,
      conversation: digested.asked,
    };
  }

  /** A session that was opened under a key is no other request's. */
  #openedBefore(digested: Digested, sent: TipRepeat, sessionId: SessionId): TurnRequest {
    const opening = this.#opening(digested, sent);
    return typeof sent === 'string' ? { ...opening, sessionId } : opening;
  }

  /** The same for every request of one key, at whichever node; else a new one. */
  #openedAs(digested: Digested, sent: TipRepeat): SessionId {
    if (typeof sent === 'string') return this.#parts.node.environment.random.uuid() as SessionId;
    const digest = createHash('sha256').update(JSON.stringify([nameOf(digested), sent.key]));
    return `chat-${digest.digest('hex').slice(0, 32)}` as SessionId;
  }

  #isTaken(session: Pick<TurnRequest, 'userId' | 'sessionId'>): boolean {
    const keyText = this.#keyText(session);
    return this.#taken.has(keyText) || this.#parts.node.running.has(keyText);
  }

  #taking<Session extends Pick<TurnRequest, 'userId' | 'sessionId'>>(session: Session): Session {
    const keyText = this.#keyText(session);
    this.#taken.set(keyText, (this.#taken.get(keyText) ?? 0) + 1);
    return session;
  }

  #giveBack(session: Pick<TurnRequest, 'userId' | 'sessionId'>): void {
    const keyText = this.#keyText(session);
    const left = (this.#taken.get(keyText) ?? 0) - 1;
    if (left > 0) this.#taken.set(keyText, left);
    else this.#taken.delete(keyText);
  }

  #keyText({ userId, sessionId }: Pick<TurnRequest, 'userId' | 'sessionId'>): SessionKeyText {
    return sessionKeyText({ keygroup: this.#parts.keygroup, userId, sessionId: sessionId as SessionId });
  }
}

function digestsOf(whole: WholeConversation): Digested {
  const digests: ConversationDigest[] = [];
  for (const message of whole.messages) digests.push(digestAfter(digests.at(-1), message));
  return { whole, digests, asked: digests.at(-1) as ConversationDigest };
}

/** The same for the same request, whenever and wherever it comes. */
function nameOf({ whole, asked }: Digested): string {
  const rest: TurnRequest = { ...whole, sessionId: undefined, place: { tip: 'new' }, messages: [] };
  return JSON.stringify([whole.userId, asked, requestDigest(rest, undefined)]);
}

/** The same request sent again, in the place of the first. */
function placedAgain(
  { whole, asked }: Digested,
  { sessionId, place, added }: GivenPlace,
  repeat: TipRepeat,
): TurnRequest {
  const before = whole.messages.length - added;
  const isOpening = 'opens' in place;
  const again = isOpening ? { history: whole.messages.slice(0, before) } : 'repeat' in place && { repeat };
  return {
    ...whole,
    sessionId,
    place: { ...place, ...again },
    messages: whole.messages.slice(before),
    conversation: asked,
  };
}

function goingOn({ whole, asked }: Digested, { turn, messages }: Known, repeat: TipRepeat): TurnRequest {
  return {
    ...whole,
    sessionId: turn.record.sessionId,
    place: { after: turn.hash, repeat },
    messages: whole.messages.slice(messages),
    conversation: asked,
  };
}

/** How many messages of the conversation a stored turn has, reply included; `undefined` where it is none of its turns. */
function messagesIn({ record }: Turn, digests: readonly ConversationDigest[]): number | undefined {
  const answered = conversationsOf(record)?.answered ?? [];
  const at = digests.findLastIndex((digest) => answered.includes(digest));
  return at === -1 ? undefined : at + 1;
}
