import type { KeygroupId, NodeId, SessionKey } from '../../../domain/identifiers.ts';
import type { Clock, Logger } from '../../../environment/environment.ts';
import { within } from '../../../waiting/within.ts';
import type { ReplicaStore, SessionEntry } from '../../leveldb/replica.ts';
import type { ArbiterNode, TurnArbiter, TurnArbitration, TurnAttempt, TurnVerdict } from '../../turn-arbitration.ts';
import type { SessionFetches, SessionHolder } from '../pull/session-fetches.ts';
import { LIST_ENTRIES_MAX } from './log-answers.ts';
import type { SessionPage } from './session-page.ts';
import { type CarriedVerdict, NOTHING_HELD } from './turn-verdict.ts';

/** A peer that can be asked about turns. */
export interface AskedPeer extends SessionHolder {
  /** Within how many milliseconds nearly all its answers come. */
  readonly delayMs: number;
  /** Throws when it does not answer. */
  turn(attempt: TurnAttempt, from: NodeId): Promise<CarriedVerdict>;
  tellOfGrant(attempt: TurnAttempt, from: NodeId, isOver: boolean): void;
}

export interface TurnQuestionsParts {
  readonly replica: ReplicaStore;
  readonly fetches: SessionFetches;
  readonly nodes: (keygroup: KeygroupId) => readonly ArbiterNode[];
  /** The peer, where it can be asked now about turns of the keygroup. */
  readonly peer: (nodeId: NodeId, keygroup: KeygroupId) => AskedPeer | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How nodes ask each other about turns, whatever carries it, and what this one answers. */
export class TurnQuestions implements TurnArbitration {
  readonly #parts: TurnQuestionsParts;
  #arbiter: TurnArbiter | undefined;

  constructor(parts: TurnQuestionsParts) {
    this.#parts = parts;
  }

  serve(arbiter: TurnArbiter): void {
    this.#arbiter = arbiter;
  }

  nodes(keygroup: KeygroupId): readonly ArbiterNode[] {
    return this.#parts.nodes(keygroup);
  }

  async ask(
    nodeId: NodeId,
    attempt: TurnAttempt,
    { patienceMs, fetchMs }: { readonly patienceMs: number; readonly fetchMs: number },
  ): Promise<TurnVerdict | undefined> {
    const { peer, replica, fetches, clock, logger } = this.#parts;
    const { key } = attempt;
    const asked = peer(nodeId, key.keygroup);
    if (asked === undefined) return undefined;
    const answer = asked.turn(attempt, replica.nodeId).catch((error) => {
      logger.warn('turn_question_failed', { peer: nodeId }, error);
      return undefined;
    });
    const waitMs = asked.delayMs + patienceMs;
    const carried = await within<CarriedVerdict | undefined>({ clock, waitMs }, answer, () => undefined);
    if (carried?.verdict.kind !== 'answered') return carried?.verdict;
    await within({ clock, waitMs: fetchMs }, fetches.take(asked, key, carried.page), () => {});
    return { kind: 'answered', isHere: this.#holds(key, carried.page) };
  }

  #holds({ keygroup }: SessionKey, { entries, more }: SessionPage): boolean {
    const isHere = ({ hash }: SessionEntry) => this.#parts.replica.positionOf(hash, keygroup) !== undefined;
    return entries.length > 0 && !more && entries.every(isHere);
  }

  tell(nodeId: NodeId, attempt: TurnAttempt, news: 'held' | 'over'): void {
    const { peer, replica } = this.#parts;
    peer(nodeId, attempt.key.keygroup)?.tellOfGrant(attempt, replica.nodeId, news === 'over');
  }

  /** `undefined` where nothing here answers yet. Throws what the arbiter and the store throw. */
  async answer(attempt: TurnAttempt, from: NodeId): Promise<CarriedVerdict | undefined> {
    const verdict = await this.#arbiter?.answer(attempt, from);
    if (verdict?.kind !== 'answered') return verdict && { verdict, page: NOTHING_HELD };
    return { verdict, page: await this.#heldOf(attempt) };
  }

  /** The tombstone where there is one, and else the turn and what came after it. */
  async #heldOf({ key, turn }: TurnAttempt): Promise<SessionPage> {
    const { replica } = this.#parts;
    const first = await replica.sessionEntries(key, { fromTurn: 0, limit: 1 });
    const tombstones = first.filter((entry) => entry.turn === 0);
    if (tombstones.length > 0) return { entries: tombstones, more: false };
    const entries = await replica.sessionEntries(key, { fromTurn: turn, limit: LIST_ENTRIES_MAX });
    return { entries, more: entries.length === LIST_ENTRIES_MAX };
  }

  note(attempt: TurnAttempt, from: NodeId, isOver: boolean): void {
    this.#arbiter?.note(attempt, from, isOver ? 'over' : 'held');
  }
}
