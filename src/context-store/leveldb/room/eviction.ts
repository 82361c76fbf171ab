import { isDocument } from '../../../domain/cluster/documents.ts';
import type { SessionKey } from '../../../domain/identifiers.ts';
import { HELD, type Held } from '../../held-elsewhere.ts';
import {
  EVICTION_TARGET,
  HELD_ELSEWHERE_EVICTION,
  LAST_COPIES_EVICTION,
  RECORDS_REMOVED_MAX,
  SESSIONS_REMOVED_MAX,
  SESSIONS_SPARED_MAX,
} from '../../store-limits.ts';
import type { UserBytes } from '../../user-bytes.ts';
import { partHeld, type SessionChange, usedAt } from '../session-change.ts';
import type { SessionChanges, StoreTotals } from '../session-changes.ts';
import { type IndexKey, sessionKeyFrom, type Tables, tableKey } from '../tables/tables.ts';
import { type LoggedSession, loggedSession, type OtherHolders } from './other-holders.ts';

/** What one eviction has removed. */
export interface Evicted {
  readonly sessions: number;
  /** Of them, those that no other node was known to hold. */
  readonly lastCopies: number;
  /** Whether it has looked at as much as one eviction may, and there may be more to find. */
  readonly isSpent: boolean;
  /** Where the next one goes on to look again; `undefined`: at the beginning. */
  readonly lookedAgainAt: IndexKey | undefined;
}

export const NOTHING_EVICTED: Evicted = { sessions: 0, lastCopies: 0, isSpent: false, lookedAgainAt: undefined };

export interface EvictionParts {
  readonly changes: SessionChanges;
  readonly tables: Tables;
  /** Before these changes. */
  readonly totals: StoreTotals;
  readonly bytesMax: number;
  /** As after these changes. */
  readonly users: UserBytes;
  /** `undefined` where the store is shared with nobody. */
  readonly others: OtherHolders | undefined;
  /** What no other node is known to hold stays, whatever its size. */
  readonly keepsLastCopies: boolean;
  /** As the one before has left it. */
  readonly lookedAgainAt: IndexKey | undefined;
}

/** Whose sessions may go: of users who have more than their part, or, where that does not do, of all. */
type Of = 'users beyond their part' | 'everybody';

/**
 * Removes sessions to which a group of work adds nothing, the least recently used first: of users who have more than their part
 * of what it leaves, and only where that does not do of others. Where nodes share, what others hold goes first. Who holds a session
 * is found out when it is first in line: one that others hold less well than its place in the line says is put further back. So it
 * is looked at once, and not at each eviction; of what stands far back each eviction looks at a part again.
 */
export class Eviction {
  readonly #parts: EvictionParts;
  #bytes: number;
  #sessions = 0;
  #records = 0;
  #lastCopies = 0;
  #looked = { sessions: 0, records: 0 };
  readonly #logged = new Map<SessionChange, LoggedSession | undefined>();

  constructor(parts: EvictionParts) {
    this.#parts = parts;
    this.#bytes = parts.changes.totalsAfter(parts.totals).bytes;
  }

  async run(): Promise<Evicted> {
    const { bytesMax, others } = this.#parts;
    const lookedAgainAt = others?.areThere === true ? await this.#lookAgain(others) : undefined;
    for (const of of ['users beyond their part', 'everybody'] as const) {
      if (of === 'everybody' && this.#bytes <= bytesMax) break;
      if (others?.areThere !== true) await this.#leastRecentlyUsed(of);
      else {
        await this.#heldElsewhere(of, others);
        if (this.#bytes > bytesMax) await this.#lastCopiesOf(of, others);
      }
    }
    return { sessions: this.#sessions, lastCopies: this.#lastCopies, isSpent: this.#isSpent, lookedAgainAt };
  }

  /** What others did not hold when it was put back they may hold by now. Returns how far it has come. */
  async #lookAgain(others: OtherHolders): Promise<IndexKey | undefined> {
    const { tables, lookedAgainAt: after } = this.#parts;
    const [{ start }, { end }] = [partHeld(HELD.byNodesAway), partHeld(HELD.byNobody)];
    for await (const place of tables.byUse.keys({ from: [start], after, before: [end] })) {
      const change = await this.#at(place);
      if (change === undefined) continue;
      const held = this.#lookUp(change, others);
      if (held < change.after.heldElsewhere) change.after = { ...change.after, heldElsewhere: held };
      if (this.#isSpent) return place;
    }
    return undefined;
  }

  async #leastRecentlyUsed(of: Of): Promise<void> {
    if (this.#parts.keepsLastCopies) return;
    const target = this.#parts.bytesMax * EVICTION_TARGET;
    for await (const change of this.#line(of, { target, from: HELD.byItsWriter, through: HELD.byNobody }))
      this.#take(change, HELD.byNobody);
  }

  async #heldElsewhere(of: Of, others: OtherHolders): Promise<void> {
    this.#looked = { sessions: 0, records: 0 };
    const target = this.#parts.bytesMax * HELD_ELSEWHERE_EVICTION.to;
    for await (const change of this.#line(of, { target, from: HELD.byItsWriter, through: HELD.byNodesAway })) {
      const held = this.#lookUp(change, others);
      if (held > change.after.heldElsewhere) change.after = { ...change.after, heldElsewhere: held };
      else this.#take(change, held);
    }
  }

  /** Those of them that others turn out to hold go before the others. */
  async #lastCopiesOf(of: Of, others: OtherHolders): Promise<void> {
    this.#looked = { sessions: 0, records: 0 };
    const target = this.#parts.bytesMax * LAST_COPIES_EVICTION.to;
    const last: EvictableChange[] = [];
    for await (const change of this.#line(of, { target, from: HELD.byNobody, through: HELD.byNobody })) {
      const held = this.#lookUp(change, others);
      if (held === HELD.byNobody) last.push(change);
      else this.#take(change, held);
    }
    const { users, keepsLastCopies } = this.#parts;
    for (const change of keepsLastCopies ? [] : last) {
      if (this.#bytes <= target || this.#isDone) return;
      if (of === 'everybody' || !users.isWithinPart(change.key.userId, target)) this.#take(change, HELD.byNobody);
    }
  }

  /**
   * Sessions that may be evicted, of those that others hold so well, in order, until there is room or enough is done. Documents
   * that an earlier version has put into the index are dropped from it.
   */
  async *#line(of: Of, { target, ...range }: LinePart): AsyncIterable<EvictableChange> {
    const { users } = this.#parts;
    let spared = 0;
    for await (const place of this.#places(range)) {
      const key = sessionAt(place);
      if (this.#bytes <= target || this.#isDone || this.#isSpent) return;
      if (of !== 'everybody' && !isDocument(key) && users.isWithinPart(key.userId, target)) {
        if (++spared > SESSIONS_SPARED_MAX) return;
        continue;
      }
      const change = await this.#at(place);
      if (change !== undefined) yield change;
    }
  }

  /** The part of the index by use, as it is after this group; what the group has moved comes last. */
  async *#places({ from, through }: Omit<LinePart, 'target'>): AsyncIterable<IndexKey> {
    const { changes, tables } = this.#parts;
    const [{ start }, { end }] = [partHeld(from), partHeld(through)];
    yield* tables.byUse.keys({ from: [start], before: [end] });
    const moved = [...changes.loaded].flatMap(({ key, before, after }): IndexKey[] => {
      const atMs = usedAt(key, after);
      const isMoved = atMs !== undefined && atMs !== usedAt(key, before) && atMs >= start && atMs < end;
      return isMoved ? [[atMs, ...tableKey(key)]] : [];
    });
    yield* moved.sort(([a], [b]) => a - b);
  }

  /** The session, where it has that place after this group and may be evicted. */
  async #at(place: IndexKey): Promise<EvictableChange | undefined> {
    const { changes, tables } = this.#parts;
    const [atMs] = place;
    const change = await changes.loadedToRemove(sessionAt(place));
    const isAt = usedAt(change.key, change.after) === atMs;
    if (!isAt && usedAt(change.key, change.before) !== atMs) changes.dropEntry(() => tables.byUse.remove(place));
    return isAt && isEvictable(change) ? change : undefined;
  }

  #lookUp(change: EvictableChange, others: OtherHolders): Held {
    this.#looked.sessions++;
    this.#looked.records += change.after.records;
    if (change.after.records === 0) return HELD.byItsWriter;
    const logged = this.#loggedOf(change);
    return logged === undefined ? HELD.byNobody : others.held(logged);
  }

  /** Where its records are logged; read once. */
  #loggedOf(change: SessionChange): LoggedSession | undefined {
    if (!this.#logged.has(change)) this.#logged.set(change, loggedSession(this.#parts.tables, change.held ?? []));
    return this.#logged.get(change);
  }

  #take(change: EvictableChange, held: Held): void {
    const { changes, users } = this.#parts;
    const { key, after } = change;
    this.#bytes -= after.bytes;
    this.#records += after.records;
    this.#sessions++;
    if (held === HELD.byNobody) this.#lastCopies++;
    users.count(key, after, undefined);
    const logged = changes.log && this.#loggedOf(change);
    if (logged !== undefined) changes.log?.noteEvicted(logged);
    changes.remove(change);
  }

  get #isDone(): boolean {
    return this.#sessions >= SESSIONS_REMOVED_MAX || this.#records >= RECORDS_REMOVED_MAX;
  }

  /** Looking costs as much as removing. */
  get #isSpent(): boolean {
    return this.#looked.sessions >= SESSIONS_REMOVED_MAX || this.#looked.records >= RECORDS_REMOVED_MAX;
  }
}

interface LinePart {
  /** Bytes that are left. */
  readonly target: number;
  /** How well others hold what is in it. */
  readonly from: Held;
  readonly through: Held;
}

type EvictableChange = SessionChange & { after: NonNullable<SessionChange['after']> };

function isEvictable(change: SessionChange): change is EvictableChange {
  return change.after !== undefined && !change.after.deleted && change.added.size === 0;
}

function sessionAt([, ...session]: IndexKey): SessionKey {
  return sessionKeyFrom(session);
}
