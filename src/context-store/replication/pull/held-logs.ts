import type { NodeId } from '../../../domain/identifiers.ts';
import { logText, type OriginLog } from '../../leveldb/log/origin-log.ts';
import { LOGS_MAX } from '../peers/peer-protocol.ts';

interface Hold {
  readonly log: OriginLog;
  readonly sequence: number;
  readonly version: number;
}

/**
 * Logs that wait at a record of a newer version than this build reads. Nothing beyond it is taken in until the node is
 * upgraded, or the record is gone at its origin. Remembered for as long as the process lives: the next one, newer or not,
 * meets the record again.
 */
export class HeldLogs {
  readonly #holds = new Map<string, Hold>();

  /** Returns whether that is news. Of more logs than peers may tell of, which is a hostile peer's doing, none is noted. */
  hold(log: OriginLog, at: { readonly sequence: number; readonly version: number }): boolean {
    const text = logText(log);
    if (this.#holds.has(text) || this.#holds.size >= LOGS_MAX) return false;
    this.#holds.set(text, { log, ...at });
    return true;
  }

  /** The log is settled up to there. */
  settle(log: OriginLog, sequence: number): void {
    const text = logText(log);
    if (sequence >= (this.#holds.get(text)?.sequence ?? Number.POSITIVE_INFINITY)) this.#holds.delete(text);
  }

  /** The record at which a log waits. */
  at(log: OriginLog): number | undefined {
    return this.#holds.get(logText(log))?.sequence;
  }

  /** The highest version that a record of a node waits for; `undefined` when none does. */
  versionNeededFor(origin: NodeId): number | undefined {
    const versions = [...this.#holds.values()].flatMap(({ log, version }) => (log.origin === origin ? [version] : []));
    return versions.length === 0 ? undefined : Math.max(...versions);
  }
}
