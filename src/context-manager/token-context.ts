import type { ContextId, TurnNumber } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record-codec.ts';
import type { Turn } from '../domain/session-history.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../domain/token-sequence.ts';
import type { TokenizedPayload } from '../domain/turn-record.ts';

/**
 * The fold of one line of token records: exactly the ids the LLM Service has read and written, in one growing array.
 * A turn appends its segment, generates from the array as it stands, and either keeps the reply or takes the segment back.
 */
export class TokenContext {
  /** The last turn folded in; `undefined` before turn 1. */
  #tip: ContextId | undefined;
  /** Record ids of the turns in the window, oldest first, for cutting. */
  readonly #turns: TokenizedPayload[] = [];
  #preamble: TokenSequence = [];
  #firstTurn = 1;
  readonly #ids: TokenId[] = [];

  /** Folds a line, oldest turn first. Starts where its last turn's prompt started. */
  static of(line: readonly Turn[]): TokenContext {
    const context = new TokenContext();
    const last = line.at(-1);
    if (last === undefined) return context;
    const firstTurn = last.record.contextStart;
    const payloads = line.map((turn) => tokenized(turn.record.payload));
    context.#restart(payloads[0] as TokenizedPayload, payloads.slice(firstTurn - 1), firstTurn);
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

  get preambleTokens(): number {
    return this.#preamble.length;
  }

  /** The last reply's ids, by which a template decides whether its end token is still missing. */
  get lastReply(): TokenSequence {
    return this.#turns.at(-1)?.replyIds ?? [];
  }

  /** Ids that each turn in the context would take if it were not the first, oldest first. */
  turnSizes(): number[] {
    return this.#turns.map((turn) => turn.promptIds.length - turn.leadLength + turn.replyIds.length);
  }

  /** Leaves out the `count` oldest turns; the preamble stays. The KV prefix behind the preamble is lost once. */
  drop(count: number): void {
    const kept = this.#turns.slice(count);
    this.#firstTurn += count;
    this.#turns.length = 0;
    this.#fill(this.#preamble, kept);
  }

  /** Appends a segment and returns a function that takes it back. */
  offer(segment: TokenSequence): () => void {
    const length = this.#ids.length;
    appendTokens(this.#ids, segment);
    return () => {
      this.#ids.length = length;
    };
  }

  /** The offered segment and its reply are now a record. */
  commit(sealed: SealedRecord): void {
    if (sealed.record.kind !== 'turn') throw new TypeError('only a turn extends a context');
    const payload = tokenized(sealed.record.payload);
    if (this.#tip === undefined) this.#preamble = payload.promptIds.slice(0, payload.leadLength);
    appendTokens(this.#ids, payload.replyIds);
    this.#turns.push(payload);
    this.#tip = sealed.hash;
  }

  #restart(first: TokenizedPayload, turns: readonly TokenizedPayload[], firstTurn: number): void {
    this.#firstTurn = firstTurn;
    this.#fill(first.promptIds.slice(0, first.leadLength), turns);
  }

  #fill(preamble: TokenSequence, turns: readonly TokenizedPayload[]): void {
    this.#preamble = preamble;
    this.#ids.length = 0;
    appendTokens(this.#ids, preamble);
    for (const [index, turn] of turns.entries()) {
      appendTokens(this.#ids, index === 0 ? turn.promptIds.slice(turn.leadLength) : turn.promptIds);
      appendTokens(this.#ids, turn.replyIds);
      this.#turns.push(turn);
    }
  }
}

function tokenized(payload: Turn['record']['payload']): TokenizedPayload {
  if (payload.mode !== 'tokenized') throw new TypeError('a raw turn in a tokenized context');
  return payload;
}
