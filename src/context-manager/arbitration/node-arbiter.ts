import type { GrantNews, TurnArbiter, TurnAttempt, TurnVerdict } from '../../context-store/turn-arbitration.ts';
import type { NodeId } from '../../domain/identifiers.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { SessionRecords } from '../sessions/session-records.ts';
import type { TurnGrants } from './turn-grants.ts';

/** What this node answers others that are about to answer a turn: it knows what is stored here, and who is at what. */
export class NodeArbiter implements TurnArbiter {
  readonly #records: SessionRecords;
  readonly #grants: TurnGrants;

  constructor(parts: { records: SessionRecords; grants: TurnGrants }) {
    this.#records = parts.records;
    this.#grants = parts.grants;
  }

  /** Throws what the store throws; whoever asked then goes on as without an answer. */
  async answer(attempt: TurnAttempt, from: NodeId): Promise<TurnVerdict> {
    const { key, parent } = attempt;
    // Before the session is read: a turn that ends meanwhile is found stored.
    const at = this.#grants.heldFrom(from, attempt);
    if (at !== undefined) return { kind: 'running', at };
    const session = await this.#records.load(key);
    if (isAnswered(session, parent)) return { kind: 'answered' };
    const taken = this.#grants.take(from, attempt);
    if (taken.kind === 'held') return { kind: 'running', at: taken.by };
    // Without the turn before, or with damage, it cannot tell what came after.
    const knows = parent === undefined || session.history.get(parent) !== undefined;
    const { isSure, ...lapsed } = taken;
    const isWhole = session.corrupt === 0 && !this.#records.isInDoubt(key);
    return { ...lapsed, kind: 'go', isSure: isSure && knows && isWhole };
  }

  note(attempt: TurnAttempt, from: NodeId, news: GrantNews): void {
    if (news === 'held') this.#grants.take(from, attempt);
    else this.#grants.giveBack(from, attempt);
  }
}

/** Whether there is a turn after `parent`, or the session has been deleted. */
export function isAnswered({ history, deleted }: CachedSession, parent: TurnAttempt['parent']): boolean {
  if (deleted) return true;
  return parent === undefined ? history.size > 0 : history.hasChild(parent);
}
