import { type KeygroupId, type SessionKey, type SessionKeyText, sessionKeyText } from '../../../domain/identifiers.ts';
import { NewerRecord } from '../../../domain/record/record-version.ts';
import { sessionKeyOf } from '../../../domain/record/turn-record.ts';
import type { Clock, Logger } from '../../../environment/environment.ts';
import { abortable } from '../../../waiting/abortable.ts';
import { OneAtATime } from '../../../waiting/one-at-a-time.ts';
import { within } from '../../../waiting/within.ts';
import { isOf, logText } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore, SessionEntry } from '../../leveldb/replica.ts';
import { FETCH_RECORDS_MAX } from '../peers/peer-protocol.ts';
import type { SessionPage } from '../peers/session-page.ts';
import type { Applier, SoundRecord } from './applier.ts';
import type { Holder } from './back-fill.ts';

/** A node that can be asked for one session. All throw when it does not answer. */
export interface SessionHolder extends Holder {
  session(key: SessionKey, fromTurn: number): Promise<SessionPage>;
}

/** Sessions that are fetched at the same time: each has an answer of half a megabyte in memory, or one record of 8 MB. */
const FETCHES_MAX = 16;
/** Of one fetch: two slow answers of a peer. What is here by then stays, and the next fetch goes on from there. */
const FETCH_MS_MAX = 10_000;
/** Of one fetch: ten times what a context window of a million ids takes. */
const FETCH_SESSION_BYTES_MAX = 32 * 1024 * 1024;

export interface SessionFetchesParts {
  readonly replica: ReplicaStore;
  readonly applier: Applier;
  /** Peers that share the keygroup, can be reached, and answer such a request. */
  readonly holders: (keygroup: KeygroupId) => readonly SessionHolder[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of one fetch. */
  readonly bytesMax?: number;
}

/**
 * Gets single sessions from whichever peers have them: hashes first, from all of them, so that each record comes once and
 * several that hold a part of it make it whole. Logs are not settled by it: what they still deliver is known then.
 */
export class SessionFetches {
  readonly #parts: SessionFetchesParts;
  readonly #underWay = new Map<SessionKeyText, Promise<number>>();

  constructor(parts: SessionFetchesParts) {
    this.#parts = parts;
  }

  /** See `SharedContexts.fetch`. */
  async fetch(
    key: SessionKey,
    { waitMs, signal }: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<number> {
    signal.throwIfAborted();
    const fetching = this.#underWay.get(sessionKeyText(key)) ?? this.#start(key);
    return within({ clock: this.#parts.clock, waitMs }, abortable(fetching, signal), () => 0);
  }

  /** See `SharedContexts.fetching`. */
  underWay(key: SessionKey): Promise<unknown> | undefined {
    return this.#underWay.get(sessionKeyText(key))?.catch(() => {});
  }

  /**
   * Gets what one peer holds of a session and this node does not, of which it has handed out the first page already. Bounded
   * as a fetch is, and left to one that is under way; a peer that does not hand it out is told of in the log.
   */
  async take(holder: SessionHolder, key: SessionKey, page: SessionPage): Promise<void> {
    await (this.#underWay.get(sessionKeyText(key)) ?? this.#start(key, [holder], page));
  }

  #start(key: SessionKey, holders = this.#parts.holders(key.keygroup), firstPage?: SessionPage): Promise<number> {
    if (holders.length === 0 || this.#underWay.size >= FETCHES_MAX) return Promise.resolve(0);
    const keyText = sessionKeyText(key);
    const fetching = this.#fetchFrom(holders, key, firstPage).finally(() => this.#underWay.delete(keyText));
    this.#underWay.set(keyText, fetching);
    return fetching;
  }

  async #fetchFrom(holders: readonly SessionHolder[], key: SessionKey, firstPage?: SessionPage): Promise<number> {
    const fetch = new OneFetch(key, this.#parts);
    await this.#bounded(
      fetch,
      holders.map((holder) => this.#fromOne(fetch, holder, firstPage)),
    );
    return fetch.records;
  }

  async #fromOne(fetch: OneFetch, holder: SessionHolder, firstPage?: SessionPage): Promise<void> {
    try {
      await fetch.from(holder, firstPage);
    } catch (error) {
      // No fault of the peer: the session waits for an upgrade of this node, as its log does.
      if (error instanceof NewerRecord) return;
      this.#parts.logger.warn('session_fetch_failed', { peer: holder.nodeId }, error);
    }
  }

  async #bounded(fetch: OneFetch, fromEach: readonly Promise<void>[]): Promise<void> {
    const { clock, logger } = this.#parts;
    await within<unknown>({ clock, waitMs: FETCH_MS_MAX }, Promise.all(fromEach), () => fetch.end());
    const { records, bytes } = fetch;
    if (records > 0) logger.info('session_fetched', { records, bytes });
  }
}

class OneFetch {
  records = 0;
  bytes = 0;
  readonly #key: SessionKey;
  readonly #parts: SessionFetchesParts;
  readonly #taking = new OneAtATime();
  #isOver = false;

  constructor(key: SessionKey, parts: SessionFetchesParts) {
    this.#key = key;
    this.#parts = parts;
  }

  end(): void {
    this.#isOver = true;
  }

  async from(holder: SessionHolder, firstPage?: SessionPage): Promise<void> {
    let handedOut = firstPage;
    for (let fromTurn = 0; !this.#isSpent; ) {
      const page = handedOut ?? (await holder.session(this.#key, fromTurn));
      handedOut = undefined;
      // What one peer has handed out, the next need not.
      await this.#taking.run(() => this.#take(holder, page));
      const lastTurn = page.entries.at(-1)?.turn ?? 0;
      if (!page.more || lastTurn <= fromTurn) return;
      fromTurn = lastTurn;
    }
  }

  get #isSpent(): boolean {
    return this.#isOver || this.bytes >= (this.#parts.bytesMax ?? FETCH_SESSION_BYTES_MAX);
  }

  async #take(holder: SessionHolder, page: SessionPage): Promise<void> {
    const { applier } = this.#parts;
    for (const { log, sequences } of this.#missing(page)) {
      let left = sequences;
      while (left.length > 0 && !this.#isSpent) {
        const { covered, records } = await holder.fetch(log, left.slice(0, FETCH_RECORDS_MAX));
        if (covered === 0) throw new Error(`${holder.nodeId} does not hand out what it lists`);
        left = left.slice(covered);
        const sound: SoundRecord[] = [];
        for (const { sequence, bytes } of records) {
          this.bytes += bytes.length;
          const sealed = await applier.openFetchedFrom(holder, { log, sequence, bytes });
          if (sealed === undefined) continue;
          if (sessionKeyText(sessionKeyOf(sealed.record)) === sessionKeyText(this.#key))
            sound.push({ sequence, sealed });
          else applier.refuse(holder.nodeId, 'unknown_sequence');
        }
        if (sound.length > 0) await applier.takeFetched(log, sound);
        this.records += sound.length;
      }
    }
  }

  /**
   * What is not here yet, by log, and the earliest turn of it last: without that the rest stays out of sight, and nobody goes
   * on from a session of which more is on its way. Of a session that was deleted only what says so.
   */
  #missing({ entries }: SessionPage): MissingRecords[] {
    const { replica } = this.#parts;
    const isDeleted = entries[0]?.turn === 0;
    const missing = entries.filter(({ log, sequence, turn, hash }) => {
      if ((isDeleted && turn > 0) || replica.positionOf(hash, this.#key.keygroup) !== undefined) return false;
      // Its number is to be given out yet: an older copy of the disk was put back, and catching up comes first.
      const isOwn = isOf(log, replica);
      return !isOwn || sequence <= replica.cursor(log).sequence;
    });
    const first = missing[0]?.turn;
    const isFirst = ({ turn }: SessionEntry) => turn === first;
    return [...byLog(missing.filter((entry) => !isFirst(entry))), ...byLog(missing.filter(isFirst))];
  }
}

interface MissingRecords {
  readonly log: SessionEntry['log'];
  readonly sequences: number[];
}

function byLog(entries: readonly SessionEntry[]): Iterable<MissingRecords> {
  const logs = new Map<string, MissingRecords>();
  for (const { log, sequence } of entries) {
    const ofLog = logs.get(logText(log)) ?? { log, sequences: [] };
    ofLog.sequences.push(sequence);
    logs.set(logText(log), ofLog);
  }
  return logs.values();
}
