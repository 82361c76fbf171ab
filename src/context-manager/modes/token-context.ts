import type { ContextId, TurnNumber } from '../../domain/identifiers.ts';
import { type LayerStamp, layerStampsOf } from '../../domain/record/layer-stamps.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Summary } from '../../domain/record/summary.ts';
import type { TurnRecord } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { contextBeginning } from '../../domain/session/session-summaries.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type {
  ChatTemplate,
  Continuation,
  Conversation,
  PromptPreamble,
  ReasoningPolicy,
  TurnSegment,
} from '../../llm-service/chat-template.ts';
import { EMPTY_PREAMBLE, samePreamble } from '../../llm-service/chat-template.ts';
import { type Beginning, behind, summaryTurn } from './context-beginning.ts';
import { promptPreamble } from './kept-preamble.ts';
import { KnownCalls } from './known-calls.ts';
import { refuseMedia } from './said-messages.ts';
import { StandingIds } from './standing-ids.ts';
import { endOfDropped, tokenizedPayload, WrittenTurn } from './written-turn.ts';

/**
 * The fold of one line of token records: the turns that the LLM Service has read and written, and their ids as they stand in the next
 * prompt ({@link StandingIds}), so that a turn costs what it adds. A turn settles those before it, offers its segment, generates from
 * the ids as they stand, and commits.
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
  /** What is in the window, oldest first: the turns, and before them what stands for earlier ones. */
  #turns: WrittenTurn[] = [];
  #summary: WrittenTurn | undefined;
  #stands: Summary | undefined;
  readonly #standing = new StandingIds();
  /** Turn 1, whether or not it is still in the window. */
  #opening: WrittenTurn | undefined;
  #firstTurn = 1;
  /** How many ids of the segment that is offered are not its own. */
  #offeredLead = 0;
  /** The turn whose reply loses its end when the next one is added. */
  #losesEnd: WrittenTurn | undefined;

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
    beginning: Beginning = contextBeginning(line.toReversed()),
  ): Promise<TokenContext> {
    const context = new TokenContext(policy);
    const last = line.at(-1);
    if (last === undefined) return context;
    await context.#fold(line, template, beginning);
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
    return this.#standing.ids;
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
    return this.#summary === undefined ? this.headTokens : this.#standing.startAfter(0);
  }

  /** The same without what stands for earlier turns. */
  get headTokens(): number {
    return this.#standing.headTokens;
  }

  /** Ids that each turn takes where it stands now, oldest first; they add up to the context without what stands before them. */
  turnSizes(): number[] {
    const sizes = this.#standing.turnSizes();
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
    const isOpening = this.#turns[0] === this.#opening;
    const { rewrittenTokens, losesEnd } = this.#standing.settle({ changes, begins, isOpening });
    this.#losesEnd = losesEnd === undefined ? undefined : this.#turns[losesEnd];
    return rewrittenTokens;
  }

  /** Leaves out the `count` oldest turns, where nothing stands for any; the preamble stays. The KV prefix behind the preamble is lost once. */
  drop(count: number, template: ChatTemplate): void {
    this.#loseEnd();
    const last = this.#turns[count - 1] as WrittenTurn;
    this.#standing.drop(count, endOfDropped(last, template));
    this.#turns = this.#turns.slice(count);
    this.#firstTurn = this.#turns[0]?.number ?? last.number + 1;
  }

  /** Appends a segment; where no turn is left before it, without the end of a reply that is not there. */
  offer(segment: TurnSegment): void {
    const alone = this.#tip !== undefined && this.#turns.length === 0;
    this.#offeredLead = segment.leadLength;
    this.#standing.append(alone ? segment.ids.slice(segment.leadLength) : segment.ids);
  }

  /** Takes the offered segment back, and what was settled for it. False where turns were left out for it: they are gone. */
  withdraw(): boolean {
    const isWhole = this.#standing.withdraw();
    if (isWhole) this.#losesEnd = undefined;
    return isWhole;
  }

  /** The offered segment and its reply are now a record. */
  commit(sealed: SealedRecord): void {
    const turn = this.#written({ hash: sealed.hash, record: sealed.record as TurnRecord });
    if (this.#opening === undefined) {
      this.#opening = turn;
      this.#standing.opened(this.#offeredLead);
    }
    this.#add(turn);
    this.#tip = sealed.hash;
  }

  async #fold(line: readonly Turn[], template: ChatTemplate, { contextStart, summary }: Beginning): Promise<void> {
    this.#firstTurn = contextStart;
    const written = line.map((turn) => this.#folded(turn));
    // Places of messages that were added without a reply are not in the line.
    const left = line.filter(({ record }) => record.turn < contextStart).length;
    const turns = written.slice(left);
    const opening = written[0] as WrittenTurn;
    for (const { payload } of [opening, ...turns]) refuseMedia(payload);
    this.#opening = opening;
    const { preamble: under } = turns[0] ?? (written.at(-1) as WrittenTurn);
    this.#stands = summary;
    this.#summary = summary && summaryTurn(summary, { preamble: under, calls: this.calls });
    if (this.#summary !== undefined) turns.unshift(this.#summary);
    const [start] = turns as [WrittenTurn];
    const dropped = written.findLast(({ number }) => number < contextStart && number <= (summary?.through ?? number));
    this.#read = start.preamble;
    await this.#begin({ opening, dropped, start }, template);
    for (const was of turns) {
      const isBehind = this.#summary !== undefined && this.#turns.length === 1;
      const turn = isBehind ? await behind(this.conversation, was, template, this.policy) : was;
      if (this.#turns.length > 0) {
        this.settle(await template.turnsUnder(this.conversation, turn, this.policy), turn.preamble);
      }
      const { promptIds, leadLength } = turn.payload;
      this.#standing.append(this.#turns.length === 0 ? promptIds.slice(leadLength) : promptIds);
      this.#add(turn);
    }
  }

  /** What the ids begin with where `start` is the first that stands, and `dropped` the last that is left out; `undefined`: none is. */
  async #begin(
    { opening, dropped, start }: { opening: WrittenTurn; dropped: WrittenTurn | undefined; start: WrittenTurn },
    template: ChatTemplate,
  ): Promise<void> {
    const preamble = opening.payload.promptIds.slice(0, opening.payload.leadLength);
    if (dropped === undefined) return this.#standing.begin(preamble, []);
    const { preamble: under } = start;
    const alone = { turns: [dropped], fromStart: false, system: this.#system, preamble: under, opening };
    const [change] = (await template.turnsUnder(alone, start, this.policy)).changes.slice(-1);
    if (change?.losesEnd) dropped.loseEnd();
    const isSame = samePreamble(opening.preamble, under);
    this.#standing.begin(isSame ? preamble : await template.preambleIds(alone, under), endOfDropped(dropped, template));
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

  /** A turn whose prompt stands at the end of the ids, and its reply. */
  #add(turn: WrittenTurn): void {
    this.#loseEnd();
    const { promptIds, leadLength } = turn.payload;
    const generationTokens = promptIds.length - turn.messagesEnd;
    this.#standing.addTurn(turn.replyIds, { generationTokens, leadLength });
    this.#turns.push(turn);
    this.#read = turn.preamble;
  }

  #loseEnd(): void {
    this.#losesEnd?.loseEnd();
    this.#losesEnd = undefined;
  }
}
