import type { ContextId, RequestDigest, TurnNumber } from '../identifiers.ts';
import { type AnswerId, answerIdOf } from '../record/answer-id.ts';
import type { SealedRecord } from '../record/record-codec.ts';
import { removedAnswerOf } from '../record/removed-answer.ts';
import { repairedOf } from '../record/repaired.ts';
import { summaryPlaceOf } from '../record/summary.ts';
import type { AnsweredRecord, StoredMode, TurnRecord } from '../record/turn-record.ts';
import { conversationsOver } from './conversations-over.ts';

/** One turn record in its place in the tree. */
export interface Turn {
  readonly hash: ContextId;
  readonly record: TurnRecord;
}

const NONE: readonly Turn[] = [];
const NONE_OVER: ReadonlySet<ContextId> = new Set();

/** A turn with a reply. */
export interface AnsweredTurn extends Turn {
  readonly record: AnsweredRecord;
}

export function isAnswered(turn: Turn): turn is AnsweredTurn {
  return turn.record.payload.mode !== 'items';
}

/**
 * The turn records of one session as a tree. Usually a single line; two nodes that accept the same turn during a
 * partition make branches, and all of them are kept. A record whose parent has not arrived is held aside, so that
 * every line reaches back to turn 1.
 *
 * An id can be used again once its session has expired, and records of the session before may still be there, or arrive.
 * Which turns those are follows from the records alone, so that all nodes agree: a conversation is over when another turn 1
 * was written after it had expired. It is kept, and left out of what is read.
 */
export class SessionHistory {
  readonly #turns = new Map<ContextId, Turn>();
  readonly #byDigest = new Map<RequestDigest, Turn[]>();
  /** Each made when it is needed: most sessions never do, and many are held at once. */
  #byAnswerId: Map<AnswerId, Turn> | undefined;
  #removedAnswers: Set<AnswerId> | undefined;
  #waiting: Map<ContextId, Turn[]> | undefined;
  /** Summaries, by the context that each is of: beside the tree, and none of its turns. */
  #summaries: Map<ContextId, Turn[]> | undefined;
  /** Turns that stand for lost ones, by the context id of the lost one. */
  #repairs: Map<ContextId, Turn[]> | undefined;
  #parents: Set<ContextId> | undefined;
  /** Turns 1; more than one where the session was opened twice. */
  #openings: readonly Turn[] = [];
  /** Turns of conversations that are over, unless {@link #settle} has to find out. */
  #over: ReadonlySet<ContextId> | undefined = NONE_OVER;
  #tip: Turn | undefined;
  #expiresAtMs = 0;

  /** Adds a record once; order does not matter. Returns false when it was already here. */
  add(sealed: SealedRecord): boolean {
    if (sealed.record.kind !== 'turn') throw new TypeError('a tombstone ends a history, it is not part of one');
    const turn: Turn = { hash: sealed.hash, record: sealed.record };
    this.#expiresAtMs = Math.max(this.#expiresAtMs, turn.record.expiresAtMs);
    if (this.#turns.has(turn.hash)) return false;
    const summed = summaryPlaceOf(turn.record);
    if (summed !== undefined) return this.#addSummary(turn, summed.of);
    const { parent } = turn.record;
    if (parent !== undefined && !this.#fits(turn, parent)) {
      const held = this.#waiting?.get(parent) ?? [];
      if (held.some((other) => other.hash === turn.hash)) return false;
      this.#waiting ??= new Map();
      this.#waiting.set(parent, [...held, turn]);
      return true;
    }
    this.#link(turn);
    if (this.#openings.length > 1) this.#over = undefined;
    return true;
  }

  /** Linked turns, waiting ones not counted. */
  get size(): number {
    return this.#turns.size - this.#settle().size;
  }

  /** When the conversation that is not over was opened; the earliest time, where that was done more than once. */
  get openedAtMs(): number | undefined {
    const over = this.#settle();
    const opened = this.#openings.filter(({ hash }) => !over.has(hash));
    return opened.length === 0 ? undefined : Math.min(...opened.map(({ record }) => record.writtenAtMs));
  }

  /** It lives until then, whatever its records name. */
  keepUntil(ms: number): void {
    this.#expiresAtMs = Math.max(this.#expiresAtMs, ms);
  }

  /** The latest expiry any record names (DESIGN §4), waiting ones included, or what it is kept until. */
  get expiresAtMs(): number {
    return this.#expiresAtMs;
  }

  /** How it is kept, once a turn of it was answered. */
  get mode(): StoredMode | undefined {
    return this.lastAnswered(this.tip)?.record.payload.mode;
  }

  /** The last turn at or before this one that was answered: messages may have been added since. */
  lastAnswered(turn: Turn | undefined): AnsweredTurn | undefined {
    for (let last = turn; last !== undefined; last = this.#parent(last)) if (isAnswered(last)) return last;
    return undefined;
  }

  /** What was added since the turn before `turn` that was answered, `turn` included, oldest first. */
  addedUpTo(turn: Turn | undefined): Turn[] {
    const added: Turn[] = [];
    for (let last = turn; last?.record.payload.mode === 'items'; last = this.#parent(last)) added.push(last);
    return added.reverse();
  }

  /** Last turn of the main line: the deepest; among equally deep ones the smallest hash, so that all nodes agree. */
  get tip(): Turn | undefined {
    this.#settle();
    return this.#tip;
  }

  get(hash: ContextId): Turn | undefined {
    return this.#settle().has(hash) ? undefined : this.#turns.get(hash);
  }

  /** Turns that stand for that one, which was lost; several where several nodes were told of it. */
  repairsOf(lost: ContextId): readonly Turn[] {
    const over = this.#settle();
    return (this.#repairs?.get(lost) ?? []).filter(({ hash }) => !over.has(hash));
  }

  /** The turn of that name, or else the one that stands for it: of several, the one that every node chooses. */
  standingFor(hash: ContextId): Turn | undefined {
    return this.get(hash) ?? this.mainLineFirst(this.repairsOf(hash));
  }

  /** Of several turns, made on either side of a partition, the one that every node chooses. */
  mainLineFirst(turns: readonly Turn[]): Turn | undefined {
    if (turns.length < 2) return turns[0];
    const main = turns.find((turn) => this.onMainLine(turn.record.turn) === turn);
    return main ?? turns.reduce((least, turn) => (turn.hash < least.hash ? turn : least));
  }

  /** The turn that was answered under this id, unless its owner has removed it. */
  answer(id: AnswerId): Turn | undefined {
    const turn = this.#byAnswerId?.get(id);
    if (turn === undefined || this.hasRemoved(id)) return undefined;
    return this.#settle().has(turn.hash) ? undefined : turn;
  }

  hasRemoved(id: AnswerId): boolean {
    return this.#removedAnswers?.has(id) ?? false;
  }

  /** Summaries of the context that ends in that turn, in the order that every node agrees on. */
  summariesOf(hash: ContextId): readonly Turn[] {
    return this.#summaries?.get(hash) ?? NONE;
  }

  /** The turns of a line that were answered, oldest first. */
  answeredLine(tip: Turn | undefined = this.tip): AnsweredTurn[] {
    return this.line(tip).filter(isAnswered);
  }

  /** Whether some turn continues this one. */
  hasChild(hash: ContextId): boolean {
    return this.#parents?.has(hash) ?? false;
  }

  /** Turns stored for a request digest, in order of arrival. */
  answering(digest: RequestDigest): readonly Turn[] {
    const over = this.#settle();
    const turns = this.#byDigest.get(digest) ?? [];
    return over.size === 0 ? turns : turns.filter(({ hash }) => !over.has(hash));
  }

  /** The turns of all lines, each after the one that it goes on from. */
  allLines(): Turn[] {
    const over = this.#settle();
    return [...this.#turns.values()].filter(({ hash }) => !over.has(hash));
  }

  /** The line that ends in `tip`, from turn 1. */
  line(tip: Turn | undefined = this.tip): Turn[] {
    const turns: Turn[] = [];
    for (let turn = tip; turn !== undefined; turn = this.#parent(turn)) turns.push(turn);
    return turns.reverse();
  }

  /** The turn numbered `number` on the main line. O(distance from the tip). */
  onMainLine(number: TurnNumber): Turn | undefined {
    let turn = this.tip;
    while (turn !== undefined && turn.record.turn > number) turn = this.#parent(turn);
    return turn?.record.turn === number ? turn : undefined;
  }

  /** Last turn of every branch, main line first, then deepest and smallest hash first. */
  tips(): Turn[] {
    return this.allLines()
      .filter(({ hash }) => !this.hasChild(hash))
      .sort(mainLineOrder);
  }

  #parent(turn: Turn): Turn | undefined {
    return turn.record.parent === undefined ? undefined : this.#turns.get(turn.record.parent);
  }

  #fits(turn: Turn, parent: ContextId): boolean {
    return this.#turns.get(parent)?.record.turn === turn.record.turn - 1;
  }

  #addSummary(summary: Turn, of: ContextId): boolean {
    const made = this.summariesOf(of);
    if (made.some(({ hash }) => hash === summary.hash)) return false;
    this.#summaries ??= new Map();
    this.#summaries.set(
      of,
      [...made, summary].sort((a, b) => absentIn(a) - absentIn(b) || (a.hash < b.hash ? -1 : 1)),
    );
    return true;
  }

  /** Takes a turn in, and then whatever waited for it. A loop: a long line may arrive backwards. */
  #link(first: Turn): void {
    const linkable = [first];
    for (let turn = linkable.pop(); turn !== undefined; turn = linkable.pop()) {
      this.#turns.set(turn.hash, turn);
      const { parent } = turn.record;
      if (parent === undefined) this.#openings = this.#openings.concat(turn);
      else {
        this.#parents ??= new Set();
        this.#parents.add(parent);
      }
      const same = this.#byDigest.get(turn.record.requestDigest);
      if (same === undefined) this.#byDigest.set(turn.record.requestDigest, [turn]);
      else same.push(turn);
      const lost = repairedOf(turn.record);
      if (lost !== undefined) {
        this.#repairs ??= new Map();
        this.#repairs.set(lost, [...(this.#repairs.get(lost) ?? []), turn]);
      }
      const answerId = answerIdOf(turn.record);
      if (answerId !== undefined) {
        this.#byAnswerId ??= new Map();
        this.#byAnswerId.set(answerId, turn);
      }
      const removed = removedAnswerOf(turn.record);
      if (removed !== undefined) {
        this.#removedAnswers ??= new Set();
        this.#removedAnswers.add(removed);
      }
      if (this.#tip === undefined || mainLineOrder(turn, this.#tip) < 0) this.#tip = turn;
      for (const child of this.#waiting?.get(turn.hash) ?? []) {
        if (this.#fits(child, turn.hash)) linkable.push(child);
      }
      this.#waiting?.delete(turn.hash);
    }
  }

  /** Finds out which conversations are over, after a record was added to a session that was opened more than once. */
  #settle(): ReadonlySet<ContextId> {
    if (this.#over !== undefined) return this.#over;
    const { living, over } = conversationsOver(this.#turns.values(), this.#openings);
    this.#tip = living.reduce((tip, turn) => (mainLineOrder(turn, tip) < 0 ? turn : tip));
    this.#over = over;
    return over;
  }
}

function absentIn({ record }: Turn): number {
  return summaryPlaceOf(record)?.absent ?? 0;
}

function mainLineOrder(a: Turn, b: Turn): number {
  return b.record.turn - a.record.turn || (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0);
}
