import { type SessionKey, type SessionKeyText, sessionKeyText } from '../../domain/identifiers.ts';
import { sessionKeyOf } from '../../domain/record/turn-record.ts';
import type { Clock } from '../../environment/environment.ts';
import type { RunningTurns } from '../turn/running-turns.ts';
import type { SessionRecords } from './session-records.ts';

/**
 * How long the KV state of a session that is in no store waits for its next turn: longer than a message is typed, and than a client takes
 * that sends a turn again.
 */
export const UNSTORED_KEPT_MS = 10 * 60_000;
/** Sessions that wait so; of more the one generated for longest ago goes. An engine has room for fewer. */
export const UNSTORED_MAX = 1_000;

export interface SessionStatesParts {
  readonly records: Pick<SessionRecords, 'holds' | 'onRecord' | 'onRemoved'>;
  readonly running: Pick<RunningTurns, 'has'>;
  readonly clock: Clock;
  /** Has the LLM Service drop what it has of the session. */
  readonly forget: (key: SessionKey) => void;
}

interface Unstored {
  readonly key: SessionKey;
  readonly cancelLook: () => void;
}

/**
 * KV state stays no longer than somebody may come back for it. It goes with the session's records, however those go: deleted, expired,
 * evicted. Where there are none, as the session was drafted only, or its first turn failed, or it went while a turn of it waited, nobody
 * tells that it is over: then its state goes a while after the last generation.
 */
export class SessionStates {
  readonly #parts: SessionStatesParts;
  /** Sessions that were generated for, and of which no record has come since: longest ago first. */
  readonly #unstored = new Map<SessionKeyText, Unstored>();
  #isClosed = false;

  constructor(parts: SessionStatesParts) {
    this.#parts = parts;
    parts.records.onRemoved((key) => this.forget(key));
    parts.records.onRecord(({ record }) => {
      const key = sessionKeyOf(record);
      // Of one that is deleted before it has any records nothing is removed.
      if (record.kind === 'tombstone') this.forget(key);
      else this.#settle(sessionKeyText(key));
    });
  }

  /** A generation for the session has ended, whatever became of it. */
  generated(key: SessionKey): void {
    const { clock } = this.#parts;
    const keyText = sessionKeyText(key);
    this.#settle(keyText);
    if (this.#isClosed) return;
    const unstored: Unstored = { key, cancelLook: clock.after(UNSTORED_KEPT_MS, () => void this.#look(unstored)) };
    this.#unstored.set(keyText, unstored);
    const [oldest] = this.#unstored.values();
    if (oldest !== undefined && this.#unstored.size > UNSTORED_MAX) this.forget(oldest.key);
  }

  /** Nobody comes back for it. */
  forget(key: SessionKey): void {
    this.#settle(sessionKeyText(key));
    this.#parts.forget(key);
  }

  /** Nobody is waited for any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#unstored.values()].map((unstored) => this.#look(unstored)));
  }

  async #look(unstored: Unstored): Promise<void> {
    const { records, running } = this.#parts;
    const { key } = unstored;
    const keyText = sessionKeyText(key);
    // What cannot be read is taken for gone: at worst it is evaluated again.
    const isHeld = await records.holds(key).catch(() => false);
    // Otherwise it was generated for, stored or forgotten meanwhile.
    if (this.#unstored.get(keyText) !== unstored) return;
    if (isHeld) this.#settle(keyText);
    else if (running.has(keyText)) this.generated(key);
    else this.forget(key);
  }

  /** A removal of its records will be told. */
  #settle(keyText: SessionKeyText): void {
    this.#unstored.get(keyText)?.cancelLook();
    this.#unstored.delete(keyText);
  }
}
