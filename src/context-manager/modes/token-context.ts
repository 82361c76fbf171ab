import type { ContextId, TurnNumber } from '../../domain/identifiers.ts';
import { type LayerStamp, layerStampsOf } from '../../domain/record/layer-stamps.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Summary } from '../../domain/record/summary.ts';
import type { TurnRecord } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import { appendTokens, commonPrefixLength, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type {
  ChangedTurn,
  ChatTemplate,
  Continuation,
  Conversation,
  PromptPreamble,
  ReasoningPolicy,
  TurnSegment,
} from '../../llm-service/chat-template.ts';
import { EMPTY_PREAMBLE, samePreamble } from '../../llm-service/chat-template.ts';
import { type Beginning, beginningOfLine, behind, summaryTurn } from './context-beginning.ts';
import { promptPreamble } from './kept-preamble.ts';
import { KnownCalls } from './known-calls.ts';
import { refuseMedia } from './said-messages.ts';
import type { Place, Unsettled } from './turn-place.ts';
import { endOfDropped, tokenizedPayload, WrittenTurn } from './written-turn.ts';

/**
 * The fold of one line of token records: the ids that the LLM Service has read and written, as they stand in the next prompt,
 * in one growing array, so that a turn costs what it adds. A turn settles those before it, offers its segment, generates from
 * the array as it stands, and commits. How an earlier turn stands is kept in that array alone.
 */
export class TokenContext {
  /** How the reasoning in earlier replies is treated in it. */
  readonly policy: ReasoningPolicy;
  /** All calls of the session. */
  readonly calls = new KnownCalls();
  /** The layers of its last turn's prompt, wherever that was answered. */
  layersRead: readonly LayerStamp[] = [];
  /**
   * What stands before the conversation in the ids as they are, and in the prompt that is offered. As it is folded from records, a
   * context has no layers: they were another node's, or are another's by now.
   */
  #read: PromptPreamble = EMPTY_PREAMBLE;
  #offered: PromptPreamble = EMPTY_PREAMBLE;
  /** The last turn folded in; `undefined` before turn 1. */
  #tip: ContextId | undefined;
  /** What is in the window, oldest first, and where each of it stands: the turns, and before them what stands for earlier ones. */
  #turns: WrittenTurn[] = [];
  #summary: WrittenTurn | undefined;
  #stands: Summary | undefined;
  #places: Place[] = [];
  /** Turn 1, whether or not it is still in the window. */
  #opening: WrittenTurn | undefined;
  #firstTurn = 1;
  #ids: TokenId[] = [];
  /** What the ids begin with, whichever turns have been left out: BOS, system message. */
  #preamble: TokenSequence = [];
  /** Behind that, the end of the last reply that was left out, where it is also how the next message begins. */
  #sharedEnd: TokenSequence = [];
  /** How many ids of the segment that is offered are not its own. */
  #offeredLead = 0;
  /** The turn whose reply loses its end when the next one is added. */
  #losesEnd: WrittenTurn | undefined;
  /** Where in {@link #ids} the next turn begins: behind the last reply. */
  #end = 0;
  /** As it was before the last {@link settle}; `undefined` where turns have been left out or added since. */
  #unsettled: Unsettled | undefined;

  private constructor(policy: ReasoningPolicy) {
    this.policy = policy;
  }

  /**
   * Folds the answered turns of a line, oldest first. Begins as its last turn's prompt did, if nothing else is said. Throws
   * `unsupported_parameter` for one that holds media, and what the template throws.
   */
  static async of(
    line: readonly Turn[],
    template: ChatTemplate,
    policy: ReasoningPolicy,
    { contextStart, summary }: Beginning = beginningOfLine(line),
  ): Promise<TokenContext> {
    const context = new TokenContext(policy);
    const last = line.at(-1);
    if (last === undefined) return context;
    context.#firstTurn = contextStart;
    const written = line.map((turn) => context.#folded(turn));
    // Places of messages that were added without a reply are not in the line.
    const left = line.filter(({ record }) => record.turn < contextStart).length;
    const turns = written.slice(left);
    const opening = written[0] as WrittenTurn;
    for (const { payload } of [opening, ...turns]) refuseMedia(payload);
    context.#open(opening, opening.payload.promptIds.slice(0, opening.payload.leadLength));
    const { calls } = context;
    const { preamble: under } = turns[0] ?? (written.at(-1) as WrittenTurn);
    context.#stands = summary;
    context.#summary = summary && summaryTurn(summary, { preamble: under, calls });
    if (context.#summary !== undefined) turns.unshift(context.#summary);
    const [start] = turns as [WrittenTurn];
    const dropped = written.findLast(({ number }) => number < contextStart && number <= (summary?.through ?? number));
    if (dropped !== undefined) {
      const { preamble } = start;
      const alone = { turns: [dropped], fromStart: false, system: context.#system, preamble, opening };
      const [change] = (await template.turnsUnder(alone, start, policy)).changes.slice(-1);
      if (change?.losesEnd) dropped.loseEnd();
      context.#sharedEnd = endOfDropped(dropped, template);
      if (!samePreamble(opening.preamble, preamble)) context.#preamble = await template.preambleIds(alone, preamble);
    }
    context.#read = start.preamble;
    context.#begin();
    for (const was of turns) {
      const isBehind = context.#summary !== undefined && context.#turns.length === 1;
      const turn = isBehind ? await behind(context.conversation, was, template, policy) : was;
      if (context.#turns.length > 0) {
        context.settle(await template.turnsUnder(context.conversation, turn, policy), turn.preamble);
      }
      const { promptIds, leadLength } = turn.payload;
      appendTokens(context.#ids, context.#turns.length === 0 ? promptIds.slice(leadLength) : promptIds);
      context.#add(turn);
    }
    context.#tip = last.hash;
    return context;
  }

  get tip(): ContextId | undefined {
    return this.#tip;
  }

  /** Number of the first turn that is still in the context. */
  get firstTurn(): TurnNumber {
    return this.#firstTurn as TurnNumber;
  }

  /** What stands for turns before that. */
  get summary(): Summary | undefined {
    return this.#stands;
  }

  /** The live array: valid until the next call that changes the context. */
  get ids(): TokenSequence {
    return this.#ids;
  }

  /** What a next turn follows; not before turn 1. */
  get conversation(): Conversation {
    return {
      turns: this.#turns,
      fromStart: this.#firstTurn === 1,
      system: this.#system,
      preamble: this.#read,
      opening: this.#opening,
    };
  }

  get #system(): TokenSequence | undefined {
    return this.#opening?.messages[0]?.role === 'system' ? this.#opening.content(0) : undefined;
  }

  /** What stands before the turns, whichever of them are left out. */
  get preambleTokens(): number {
    return this.#summary === undefined ? this.#headTokens : this.#startAfter(0);
  }

  get #headTokens(): number {
    return this.#preamble.length + this.#sharedEnd.length;
  }

  /** Ids that each turn takes where it stands now, oldest first; they add up to the context without what stands before them. */
  turnSizes(): number[] {
    const sizes = this.#places.map(({ start }, index) => this.#startAfter(index) - start);
    return this.#summary === undefined ? sizes : sizes.slice(1);
  }

  /**
   * Puts the turns as they stand under the next one: only ids from the first that changes on are written anew. Returns how
   * many ids at the end of the context are not where they were: so many have to be evaluated again.
   */
  settle(
    { changes: given, preamble: begins }: Omit<Continuation, 'segment'>,
    under: PromptPreamble = this.#read,
  ): number {
    this.#offered = under;
    const changes = begins === undefined ? given : this.#turns.map((_, index) => given.at(index - this.#turns.length));
    const changed = begins === undefined ? changes.findIndex((change) => change !== undefined) : 0;
    const [preamble, sharedEnd] = [this.#preamble, this.#sharedEnd];
    this.#losesEnd = undefined;
    if (begins !== undefined) this.#preamble = begins;
    if (changed === -1) {
      this.#unsettled = { base: this.#end, ids: [], first: this.#places.length, places: [], preamble, sharedEnd };
      return 0;
    }
    const first = this.#turns.length - changes.length + changed;
    const base = first === 0 ? 0 : (this.#places[first] as Place).start;
    const before = this.#ids.slice(base);
    const places = this.#places.slice(first);
    this.#unsettled = { base, ids: before, first, places, preamble, sharedEnd };
    const startsAfter = places.map((_, index) => this.#startAfter(first + index));
    this.#ids.length = base;
    this.#places.length = first;
    for (const [index, { start, leadLength, replyStart }] of places.entries()) {
      const { messages, reply, losesEnd } = changes[changed + index] ?? {};
      if (losesEnd) this.#losesEnd = this.#turns[first + index];
      if (first + index === 0) this.#writePreamble(messages);
      const newStart = this.#ids.length;
      const alone = first + index === 0;
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
    return before.length - commonPrefixLength(before, this.#ids, base);
  }

  /** Leaves out the `count` oldest turns, where nothing stands for any; the preamble stays. The KV prefix behind the preamble is lost once. */
  drop(count: number, template: ChatTemplate): void {
    this.#unsettled = undefined;
    this.#loseEnd();
    const last = this.#turns[count - 1];
    if (last !== undefined) this.#sharedEnd = endOfDropped(last, template);
    const [first] = this.#places.slice(count);
    const kept = first === undefined ? [] : this.#ids.slice(first.start + first.leadLength, this.#end);
    const moved = this.#headTokens + kept.length - this.#end;
    this.#turns = this.#turns.slice(count);
    this.#places = this.#places.slice(count).map(({ start, leadLength, replyStart }, index) => ({
      start: index === 0 ? this.#headTokens : start + moved,
      leadLength,
      replyStart: replyStart + moved,
    }));
    this.#firstTurn = this.#turns[0]?.number ?? (last === undefined ? this.#firstTurn : last.number + 1);
    this.#ids = [];
    this.#begin();
    appendTokens(this.#ids, kept);
    this.#end = this.#ids.length;
  }

  /** Appends a segment; where no turn is left before it, without the end of a reply that is not there. */
  offer(segment: TurnSegment): void {
    const alone = this.#tip !== undefined && this.#turns.length === 0;
    this.#offeredLead = segment.leadLength;
    appendTokens(this.#ids, alone ? segment.ids.slice(segment.leadLength) : segment.ids);
  }

  /** Takes the offered segment back, and what was settled for it. False where turns were left out for it: they are gone. */
  withdraw(): boolean {
    if (this.#unsettled === undefined) return false;
    const { base, ids, first, places, preamble, sharedEnd } = this.#unsettled;
    this.#losesEnd = undefined;
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

  /** The offered segment and its reply are now a record. */
  commit(sealed: SealedRecord): void {
    this.#unsettled = undefined;
    const turn = this.#written({ hash: sealed.hash, record: sealed.record as TurnRecord });
    if (this.#opening === undefined) this.#open(turn, this.#ids.slice(0, this.#offeredLead));
    this.#add(turn);
    this.#tip = sealed.hash;
  }

  /** A turn of the line, the next one, read under what the one before was where it does not say. */
  #folded(turn: Turn): WrittenTurn {
    const { preamble } = turn.record;
    if (preamble !== undefined) this.#offered = promptPreamble(preamble);
    return this.#written(turn);
  }

  #written(turn: Turn): WrittenTurn {
    this.calls.addTurn({ payload: tokenizedPayload(turn) });
    this.layersRead = layerStampsOf(turn.record) ?? this.layersRead;
    return new WrittenTurn(turn, { preamble: this.#offered, calls: this.calls });
  }

  #open(opening: WrittenTurn, preamble: TokenSequence): void {
    this.#opening = opening;
    this.#preamble = preamble;
  }

  /** A turn whose prompt stands at the end of the ids, and its reply. */
  #add(turn: WrittenTurn): void {
    this.#loseEnd();
    const { promptIds, leadLength } = turn.payload;
    const replyStart = this.#ids.length - (promptIds.length - turn.messagesEnd);
    const start = this.#turns.length === 0 ? this.#headTokens : this.#end;
    appendTokens(this.#ids, turn.replyIds);
    this.#turns.push(turn);
    this.#read = turn.preamble;
    this.#places.push({ start, leadLength, replyStart });
    this.#end = this.#ids.length;
  }

  #loseEnd(): void {
    this.#losesEnd?.loseEnd();
    this.#losesEnd = undefined;
  }

  #startAfter(index: number): number {
    return this.#places[index + 1]?.start ?? this.#end;
  }

  /** Before the first turn of the window, of which the messages may stand otherwise now. */
  #writePreamble(messages: ChangedTurn['messages']): void {
    if (messages !== undefined && this.#turns[0] === this.#opening) {
      this.#preamble = messages.ids.slice(0, messages.leadLength);
    }
    // They are written with all of their beginning.
    if (messages !== undefined) this.#sharedEnd = [];
    this.#begin();
  }

  #begin(): void {
    appendTokens(this.#ids, this.#preamble);
    appendTokens(this.#ids, this.#sharedEnd);
  }
}
