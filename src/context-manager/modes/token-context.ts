import type { ContextId, TurnNumber } from '../../domain/identifiers.ts';
import type { SealedRecord } from '../../domain/record/record-codec.ts';
import type { SessionRecord, TokenizedPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type { TurnSegment } from '../../llm-service/chat-template.ts';
import { refuseMedia } from './text-only.ts';

/**
 * The fold of one line of token records: exactly the ids the LLM Service has read and written, in one growing array, so
 * that a turn costs what it adds. A turn offers its segment, generates from the array as it stands, and commits.
 */
export class TokenContext {
  /** The last turn folded in; `undefined` before turn 1. */
  #tip: ContextId | undefined;
  /** The turns in the window, oldest first, for cutting. */
  #turns: TokenizedPayload[] = [];
  #preamble: TokenSequence = [];
  #firstTurn = 1;
  readonly #ids: TokenId[] = [];

  /**
   * Folds a line, oldest turn first. Starts where its last turn's prompt started. Throws `unsupported_parameter` for one
   * that holds media.
   */
  static of(line: readonly Turn[]): TokenContext {
    const context = new TokenContext();
    const [first, last] = [line[0], line.at(-1)];
    if (first === undefined || last === undefined) return context;
    context.#tip = last.hash;
    context.#preamble = preambleOf(tokenizedPayload(first));
    context.#firstTurn = last.record.contextStart;
    context.#turns = line.slice(last.record.contextStart - 1).map((turn) => tokenizedPayload(turn));
    for (const turn of [tokenizedPayload(first), ...context.#turns]) refuseMedia(turn);
    context.#fill();
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

  get preambleTokens(): number {
    return this.#preamble.length;
  }

  /** The last reply's ids, by which a template decides whether its end token is still missing. */
  get lastReply(): TokenSequence {
    return this.#turns.at(-1)?.replyIds ?? [];
  }

  /** Ids that each turn takes where it stands now, oldest first; they add up to the context without its preamble. */
  turnSizes(): number[] {
    return this.#turns.map((turn, index) => ownIds(turn, index === 0).length + turn.replyIds.length);
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
    const payload = tokenizedPayload(sealed);
    if (this.#tip === undefined) this.#preamble = preambleOf(payload);
    appendTokens(this.#ids, payload.replyIds);
    this.#turns.push(payload);
    this.#tip = sealed.hash;
  }

  #fill(): void {
    this.#ids.length = 0;
    appendTokens(this.#ids, this.#preamble);
    for (const [index, turn] of this.#turns.entries()) {
      appendTokens(this.#ids, ownIds(turn, index === 0));
      appendTokens(this.#ids, turn.replyIds);
    }
  }
}

/** The tokenized payload of a turn; any other record here is a defect. */
export function tokenizedPayload({ record }: { readonly record: SessionRecord }): TokenizedPayload {
  if (record.kind !== 'turn' || record.payload.mode !== 'tokenized') throw new TypeError('not a tokenized turn');
  return record.payload;
}

function preambleOf(first: TokenizedPayload): TokenSequence {
  return first.promptIds.slice(0, first.leadLength);
}

/** A turn's prompt ids; the first in a context comes without its lead, which is the preamble's or a dropped reply's. */
function ownIds({ promptIds, leadLength }: TokenizedPayload, first: boolean): TokenSequence {
  return first ? promptIds.slice(leadLength) : promptIds;
}
