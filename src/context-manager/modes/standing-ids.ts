import { appendTokens, commonPrefixLength, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type { ChangedTurn } from '../../llm-service/chat-template.ts';

/** Where a turn stands in the ids of a context. */
interface Place {
  /** The first of its own ids; behind the end of the reply before it where that is not there. */
  readonly start: number;
  /** How many ids from there on end the reply before it; in the first turn they are not there. */
  readonly leadLength: number;
  /** Where its messages end and its reply begins, with the generation prompt before it. */
  readonly replyStart: number;
}

/** What {@link StandingIds.settle} has written over: the ids from one place on, and the places of the turns in them. */
interface Unsettled {
  readonly base: number;
  readonly ids: TokenSequence;
  readonly first: number;
  readonly places: readonly Place[];
  readonly preamble: TokenSequence;
  readonly sharedEnd: TokenSequence;
}

/** How a turn's prompt is to go on: see {@link StandingIds.settle}. */
export interface Settling {
  /** Of each of the last turns how it stands otherwise; `undefined` where it does not. */
  readonly changes: readonly (ChangedTurn | undefined)[];
  /** What the ids begin with from now on; `undefined`: what they did. */
  readonly begins: TokenSequence | undefined;
  /** Whether the first turn that stands is the session's own first one, whose messages say what they begin with. */
  readonly isOpening: boolean;
}

/** The ids of a context in one growing array, as they stand in its next prompt, and where in them each of its turns does. */
export class StandingIds {
  #ids: TokenId[] = [];
  #places: Place[] = [];
  /** What they begin with, whichever turns have been left out: BOS, system message. */
  #preamble: TokenSequence = [];
  /** Behind that, the end of the last reply that was left out, where it is also how the next message begins. */
  #sharedEnd: TokenSequence = [];
  /** Where the next turn begins: behind the last reply. */
  #end = 0;
  /** As it was before the last {@link settle}; `undefined` where turns have been left out or added since. */
  #unsettled: Unsettled | undefined;

  /** The live array: valid until the next call that changes it. */
  get ids(): TokenSequence {
    return this.#ids;
  }

  /** How many of them stand before the turns, whichever of these are left out. */
  get headTokens(): number {
    return this.#preamble.length + this.#sharedEnd.length;
  }

  /** Ids that each turn takes, oldest first; they add up to all without what stands before the turns. */
  turnSizes(): number[] {
    return this.#places.map(({ start }, index) => this.startAfter(index) - start);
  }

  /** Where the turn after that one begins, or would. */
  startAfter(index: number): number {
    return this.#places[index + 1]?.start ?? this.#end;
  }

  /** Writes what they begin with; once, before any turn. */
  begin(preamble: TokenSequence, sharedEnd: TokenSequence): void {
    this.#preamble = preamble;
    this.#sharedEnd = sharedEnd;
    this.#writeHead();
  }

  /** What is offered opens the session: so many of its ids stand before the turn. */
  opened(leadLength: number): void {
    this.#preamble = this.#ids.slice(0, leadLength);
  }

  /** Ids that come after what is there, and are taken back by {@link withdraw}. */
  append(ids: TokenSequence): void {
    appendTokens(this.#ids, ids);
  }

  /** What was appended is a turn's prompt, and this its reply. `generationTokens`: of the generation prompt at the end of that one. */
  addTurn(
    reply: TokenSequence,
    { generationTokens, leadLength }: { readonly generationTokens: number; readonly leadLength: number },
  ): void {
    this.#unsettled = undefined;
    const replyStart = this.#ids.length - generationTokens;
    const start = this.#places.length === 0 ? this.headTokens : this.#end;
    appendTokens(this.#ids, reply);
    this.#places.push({ start, leadLength, replyStart });
    this.#end = this.#ids.length;
  }

  /**
   * Puts the turns as they stand under the next one: only ids from the first that changes on are written anew. Returns how
   * many at the end are not where they were, and which turn's reply has lost its end.
   */
  settle({ changes, begins, isOpening }: Settling): {
    readonly rewrittenTokens: number;
    readonly losesEnd: number | undefined;
  } {
    const changed = begins === undefined ? changes.findIndex((change) => change !== undefined) : 0;
    const [preamble, sharedEnd] = [this.#preamble, this.#sharedEnd];
    if (begins !== undefined) this.#preamble = begins;
    if (changed === -1) {
      this.#unsettled = { base: this.#end, ids: [], first: this.#places.length, places: [], preamble, sharedEnd };
      return { rewrittenTokens: 0, losesEnd: undefined };
    }
    const first = this.#places.length - changes.length + changed;
    const base = first === 0 ? 0 : (this.#places[first] as Place).start;
    const before = this.#ids.slice(base);
    const places = this.#places.slice(first);
    this.#unsettled = { base, ids: before, first, places, preamble, sharedEnd };
    const startsAfter = places.map((_, index) => this.startAfter(first + index));
    this.#ids.length = base;
    this.#places.length = first;
    let losesEnd: number | undefined;
    for (const [index, { start, leadLength, replyStart }] of places.entries()) {
      const { messages, reply, losesEnd: isLost } = changes[changed + index] ?? {};
      if (isLost) losesEnd = first + index;
      const alone = first + index === 0;
      if (alone) this.#writeHeadUnder(messages, isOpening);
      const newStart = this.#ids.length;
      if (messages === undefined) appendTokens(this.#ids, before.slice(start - base, replyStart - base));
      else appendTokens(this.#ids, alone ? messages.ids.slice(messages.leadLength) : messages.ids);
      const newReplyStart = this.#ids.length;
      appendTokens(this.#ids, reply ?? before.slice(replyStart - base, (startsAfter[index] as number) - base));
      this.#places.push({
        start: newStart,
        leadLength: messages?.leadLength ?? leadLength,
        replyStart: newReplyStart,
      });
    }
    this.#end = this.#ids.length;
    return { rewrittenTokens: before.length - commonPrefixLength(before, this.#ids, base), losesEnd };
  }

  /** Takes back what was appended, and what was settled for it. False where turns were left out for it: they are gone. */
  withdraw(): boolean {
    if (this.#unsettled === undefined) return false;
    const { base, ids, first, places, preamble, sharedEnd } = this.#unsettled;
    this.#unsettled = undefined;
    this.#ids.length = base;
    appendTokens(this.#ids, ids);
    this.#end = this.#ids.length;
    this.#places.length = first;
    this.#places.push(...places);
    this.#preamble = preamble;
    this.#sharedEnd = sharedEnd;
    return true;
  }

  /** Leaves out the `count` oldest turns; `sharedEnd`: what of the last of them the next message begins with. */
  drop(count: number, sharedEnd: TokenSequence): void {
    this.#unsettled = undefined;
    this.#sharedEnd = sharedEnd;
    const [first] = this.#places.slice(count);
    const kept = first === undefined ? [] : this.#ids.slice(first.start + first.leadLength, this.#end);
    const moved = this.headTokens + kept.length - this.#end;
    this.#places = this.#places.slice(count).map(({ start, leadLength, replyStart }, index) => ({
      start: index === 0 ? this.headTokens : start + moved,
      leadLength,
      replyStart: replyStart + moved,
    }));
    this.#ids = [];
    this.#writeHead();
    appendTokens(this.#ids, kept);
    this.#end = this.#ids.length;
  }

  /** Before the first turn that stands, of which the messages may stand otherwise now. */
  #writeHeadUnder(messages: ChangedTurn['messages'], isOpening: boolean): void {
    if (messages !== undefined && isOpening) this.#preamble = messages.ids.slice(0, messages.leadLength);
    // They are written with all of their beginning.
    if (messages !== undefined) this.#sharedEnd = [];
    this.#writeHead();
  }

  #writeHead(): void {
    appendTokens(this.#ids, this.#preamble);
    appendTokens(this.#ids, this.#sharedEnd);
  }
}
