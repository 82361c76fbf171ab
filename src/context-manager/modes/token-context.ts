import type { ContextId, TurnNumber } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { Turn } from '../../domain/session-history.ts';
import { appendTokens, commonPrefixLength, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type {
  ChatTemplate,
  Continuation,
  Conversation,
  ReasoningPolicy,
  TurnSegment,
} from '../../llm-service/chat-template.ts';
import { refuseMedia } from './text-only.ts';
import { WrittenTurn } from './written-turn.ts';

/**
 * The fold of one line of token records: the ids that the LLM Service has read and written, as they stand in the next prompt,
 * in one growing array, so that a turn costs what it adds. A turn settles those before it, offers its segment, generates from
 * the array as it stands, and commits.
 */
export class TokenContext {
  /** How the reasoning in earlier replies is treated in it. */
  readonly policy: ReasoningPolicy;
  /** The last turn folded in; `undefined` before turn 1. */
  #tip: ContextId | undefined;
  /** The turns in the window, oldest first. */
  #turns: WrittenTurn[] = [];
  /** Turn 1, whether or not it is still in the window. */
  #opening: WrittenTurn | undefined;
  #firstTurn = 1;
  #ids: TokenId[] = [];

  private constructor(policy: ReasoningPolicy) {
    this.policy = policy;
  }

  /**
   * Folds a line, oldest turn first. Starts where its last turn's prompt started. Throws `unsupported_parameter` for one
   * that holds media, and what the template throws.
   */
  static async of(line: readonly Turn[], template: ChatTemplate, policy: ReasoningPolicy): Promise<TokenContext> {
    const context = new TokenContext(policy);
    const [first, last] = [line[0], line.at(-1)];
    if (first === undefined || last === undefined) return context;
    const { contextStart } = last.record;
    context.#firstTurn = contextStart;
    const turns = line.slice(contextStart - 1).map((turn) => new WrittenTurn(turn));
    context.#opening = contextStart === 1 ? (turns[0] as WrittenTurn) : new WrittenTurn(first);
    for (const { payload } of [context.#opening, ...turns]) refuseMedia(payload);
    for (const turn of turns) {
      if (context.#turns.length > 0) {
        context.#change(await template.turnsUnder(context.conversation, turn, policy));
      }
      context.#turns.push(turn);
    }
    context.#fill();
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

  /** The live array: valid until the next call that changes the context. */
  get ids(): TokenSequence {
    return this.#ids;
  }

  /** What a next turn follows; not before turn 1. */
  get conversation(): Conversation {
    const system = this.#opening?.roles[0] === 'system' ? this.#opening.content(0) : undefined;
    return { turns: this.#turns, fromStart: this.#firstTurn === 1, system };
  }

  get preambleTokens(): number {
    return this.#preamble.length;
  }

  /** Ids that each turn takes where it stands now, oldest first; they add up to the context without its preamble. */
  turnSizes(): number[] {
    return this.#turns.map((turn, index) => {
      const ids: TokenId[] = [];
      turn.appendTo(ids, index === 0);
      return ids.length;
    });
  }

  /**
   * Puts the turns as they stand under the next one. Returns how many ids at the end of the context are not where they were:
   * so many have to be evaluated again.
   */
  settle(changes: Continuation['changes']): number {
    if (changes.every((change) => change === undefined)) return 0;
    const before = this.#ids;
    this.#change(changes);
    this.#fill();
    return before.length - commonPrefixLength(before, this.#ids);
  }

  /** Leaves out the `count` oldest turns; the preamble stays. The KV prefix behind the preamble is lost once. */
  drop(count: number): void {
    this.#turns = this.#turns.slice(count);
    this.#firstTurn += count;
    this.#fill();
  }

  /** Appends a segment; where no turn is left before it, without the end of a reply that is not there. */
  offer(segment: TurnSegment): void {
    const alone = this.#tip !== undefined && this.#turns.length === 0;
    appendTokens(this.#ids, alone ? segment.ids.slice(segment.leadLength) : segment.ids);
  }

  /** The offered segment and its reply are now a record. */
  commit(sealed: SealedRecord): void {
    const turn = new WrittenTurn(sealed);
    this.#opening ??= turn;
    appendTokens(this.#ids, turn.replyIds);
    this.#turns.push(turn);
    this.#tip = sealed.hash;
  }

  get #preamble(): TokenSequence {
    return this.#opening?.lead ?? [];
  }

  #change(changes: Continuation['changes']): void {
    const first = this.#turns.length - changes.length;
    for (const [index, change] of changes.entries()) {
      if (change !== undefined) this.#turns[first + index]?.change(change);
    }
  }

  #fill(): void {
    this.#ids = [];
    appendTokens(this.#ids, this.#preamble);
    for (const [index, turn] of this.#turns.entries()) turn.appendTo(this.#ids, index === 0);
  }
}
