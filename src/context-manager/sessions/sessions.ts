import type { SessionPage } from '../../context-store/context-store.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import {
  type KeygroupId,
  type SessionId,
  type SessionKey,
  sessionKeyText,
  type TurnNumber,
  type UserId,
} from '../../domain/identifiers.ts';
import { type Extensions, joinedExtensions } from '../../domain/record/extensions.ts';
import { type MovedTo, movedToExtension, movedToOf } from '../../domain/record/moved-to.ts';
import { summaryPlaceOf, summedTurns } from '../../domain/record/summary.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import { type Branch, branchesOf } from '../../domain/session/session-branches.ts';
import type { SessionHistory, Turn } from '../../domain/session/session-history.ts';
import { summariesUpTo } from '../../domain/session/session-summaries.ts';
import { Lifetimes } from '../../domain/time/lifetimes.ts';
import { stopSignOf } from '../../waiting/stop.ts';
import type { Mode, TurnText } from '../modes/mode.ts';
import type { NodeResources } from '../node-resources.ts';
import type { Cancelled } from '../turn/running-turns.ts';
import { type SeenBefore, seenSession } from './seen-session.ts';
import type { CachedSession } from './session-cache.ts';
import { TurnTexts } from './turn-texts.ts';

/** One stored turn, as people read it. */
export interface ReadTurn {
  readonly turn: Turn;
  /** Where its ids could not be put into words, why not. */
  readonly text: TurnText | DiscedgeError;
}

/** A branch from where it parts from those before it. */
export interface ReadBranch extends Omit<Branch, 'turns'> {
  readonly turns: readonly ReadTurn[];
}

export interface ReadSummary {
  readonly stored: Turn;
  /** It stands for so many. */
  readonly turns: number;
  readonly text: string | DiscedgeError;
}

export interface SessionView {
  readonly key: SessionKey;
  /** `undefined` when none of its records can be read. */
  readonly mode: StoredMode | undefined;
  readonly expiresAtMs: number;
  /** The main line, oldest first. */
  readonly turns: readonly ReadTurn[];
  /** The branches beside it, deepest first; no turn is in two of them. */
  readonly branches: readonly ReadBranch[];
  /** The last turn of every branch, main line first. */
  readonly tips: readonly Turn[];
  readonly corruptRecords: number;
  /** Of the main line, that of most turns first; the model has read one, or may, in place of them. */
  readonly summaries: readonly ReadSummary[];
}

/** `opening`: nothing of it is stored yet, but something is under way that would be. */
export type Presence = 'held' | 'opening' | 'deleted' | 'absent';

export interface SessionsParts {
  readonly keygroup: KeygroupId;
  readonly node: NodeResources;
  readonly modes: Readonly<Record<StoredMode, Mode>>;
}

/** What a user may do with sessions beside taking turns. Every method sees only the sessions of the user it is given. */
export class Sessions {
  readonly #parts: SessionsParts;

  constructor(parts: SessionsParts) {
    this.#parts = parts;
  }

  /** A page of the user's sessions by session id, after `after`; it may be short, or empty, and not the last. */
  list({
    userId,
    after,
    limit,
  }: {
    userId: UserId;
    after: SessionId | undefined;
    limit: number;
  }): Promise<SessionPage> {
    const { keygroup } = this.#parts;
    return this.#parts.node.records.list({
      keygroup,
      userId,
      after: after === undefined ? undefined : { keygroup, userId, sessionId: after },
      limit,
    });
  }

  /**
   * Everything that is stored of it, as text too where that can be told. Throws what {@link seenSession} throws;
   * `session_deleted` while the tombstone lasts.
   */
  async show(userId: UserId, sessionId: SessionId, seen: SeenBefore = {}): Promise<SessionView> {
    const { history, key, corrupt } = await seenSession(this.#parts.node.replica, this.#key(userId, sessionId), seen);
    const branches: ReadBranch[] = [];
    const texts = new TurnTexts(this.#parts.modes);
    for (const branch of branchesOf(history)) {
      const turns: ReadTurn[] = [];
      for (const turn of branch.turns) turns.push({ turn, text: await texts.of(turn) });
      branches.push({ ...branch, turns });
    }
    const summaries: ReadSummary[] = [];
    for (const stored of summariesUpTo(history, history.tip)) {
      const text = await texts.of(stored);
      const place = summaryPlaceOf(stored.record);
      summaries.push({
        stored,
        turns: place === undefined ? 0 : summedTurns(place),
        text: text instanceof DiscedgeError ? text : text.reply,
      });
    }
    return {
      summaries,
      key,
      mode: history.mode,
      expiresAtMs: history.expiresAtMs,
      turns: branches[0]?.turns ?? [],
      branches: branches.slice(1),
      tips: branches.map(({ tip }) => tip),
      corruptRecords: corrupt,
    };
  }

  /**
   * The records of a session that was opened somewhere, once any of it is here, from a peer where need be. Throws
   * `session_deleted`, `session_not_found`, and `context_stale` where it may still come.
   */
  async history(
    userId: UserId,
    sessionId: SessionId,
    { maxWaitMs, signal }: { readonly maxWaitMs: number; readonly signal: AbortSignal },
  ): Promise<SessionHistory> {
    const { replica } = this.#parts.node;
    const key = this.#key(userId, sessionId);
    const canCome = () => !replica.isAlone && replica.outlookFor(key) === 'possible';
    try {
      const seen = { turn: 1 as TurnNumber, maxWaitMs, signal };
      return (await seenSession(replica, key, seen)).history;
    } catch (error) {
      if (!(error instanceof DiscedgeError && error.code === 'context_stale') || canCome()) throw error;
      throw new DiscedgeError('session_not_found', 'no such session', { param: 'session_id' });
    }
  }

  /**
   * Deletes for good: a tombstone refuses whatever still arrives for the session. Its turns under way are stopped, and may be
   * all there is of it. Throws what {@link seenSession} throws.
   */
  async delete(userId: UserId, sessionId: SessionId, seen: SeenBefore = {}): Promise<void> {
    const { replica } = this.#parts.node;
    const address = this.#key(userId, sessionId);
    // Asked first: what ends while the session is read is either seen under way or found stored.
    const isOpening = this.isUnderWay(userId, sessionId);
    await this.#bury(await seenSession(replica, address, { ...seen, isOpening }));
  }

  /**
   * Deletes a session that has moved, as long as it is what was read of it: false where a turn has been stored here since, and then nothing
   * is deleted. A turn under way is waited for. True where it was deleted meanwhile. Throws `session_busy`, and the reason of `gone` while
   * it waits.
   */
  deleteMoved({ key, tips }: SessionView, movedTo: MovedTo, gone: AbortSignal): Promise<boolean> {
    const { queue, records } = this.#parts.node;
    return queue.run(sessionKeyText(key), stopSignOf(gone), async () => {
      const session = await records.load(key);
      if (session.deleted) return true;
      const now = session.history.tips();
      if (now.length !== tips.length || now.some(({ hash }, at) => hash !== tips[at]?.hash)) return false;
      await this.#bury(session, movedToExtension(movedTo));
      return true;
    });
  }

  /** Where a session went that was deleted by a move; several where several were made at once, at several nodes. */
  async movedTo(userId: UserId, sessionId: SessionId): Promise<readonly MovedTo[]> {
    const tombstones = await this.#parts.node.records.tombstones(this.#key(userId, sessionId));
    return tombstones.flatMap((tombstone) => movedToOf(tombstone) ?? []);
  }

  async #bury({ key, history }: CachedSession, about?: Extensions): Promise<void> {
    const { environment, options, records } = this.#parts.node;
    const writtenAtMs = environment.clock.now();
    const extensions = joinedExtensions(about, records.marksFor(key, history.tip?.record).extensions);
    await records.write({
      kind: 'tombstone',
      ...key,
      ...(extensions !== undefined && { extensions }),
      origin: options.nodeId,
      incarnation: options.incarnation,
      writtenAtMs,
      expiresAtMs: Lifetimes.tombstoneExpiresAtMs({
        expiresAtMs: history.expiresAtMs,
        deletedAtMs: writtenAtMs,
        ttlMsMax: options.ttlSecondsMax * 1000,
      }),
    });
  }

  /**
   * Stops this session's turns under way, those that wait included, and tells of all of them together. A turn that is being
   * committed is kept, and what repeats a stored one is given its reply.
   */
  cancel(userId: UserId, sessionId: SessionId): Promise<Cancelled> {
    const reason = new DiscedgeError('turn_cancelled', 'the turn was cancelled; nothing was stored');
    return this.#parts.node.running.cancel(sessionKeyText(this.#key(userId, sessionId)), reason);
  }

  /** Whether anything is under way that may store something of the session. */
  isUnderWay(userId: UserId, sessionId: SessionId): boolean {
    return this.#parts.node.running.has(sessionKeyText(this.#key(userId, sessionId)));
  }

  /** Whether there is such a session here, or will be, or was one whose tombstone lasts. */
  async presence(userId: UserId, sessionId: SessionId): Promise<Presence> {
    // Asked first: what ends while the session is read is either seen under way or found stored.
    const isUnderWay = this.isUnderWay(userId, sessionId);
    const presence = presenceOf(await this.#parts.node.records.load(this.#key(userId, sessionId)));
    return presence === 'absent' && isUnderWay ? 'opening' : presence;
  }

  /** The same, where a session that is not here is looked for at the peers first. */
  async presenceAnywhere(userId: UserId, sessionId: SessionId): Promise<Presence> {
    await seenSession(this.#parts.node.replica, this.#key(userId, sessionId), {}).catch((error) => {
      if (!(error instanceof DiscedgeError)) throw error;
    });
    return this.presence(userId, sessionId);
  }

  #key(userId: UserId, sessionId: SessionId): SessionKey {
    return { keygroup: this.#parts.keygroup, userId, sessionId };
  }
}

function presenceOf({ deleted, history, corrupt }: CachedSession): Exclude<Presence, 'opening'> {
  if (deleted) return 'deleted';
  return history.size === 0 && corrupt === 0 ? 'absent' : 'held';
}
