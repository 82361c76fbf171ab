import { type SessionKey, type SessionKeyText, sessionKeyText } from '../../domain/identifiers.ts';
import type { SessionRow } from '../session-row.ts';
import { USE_NOTED_EVERY_MS } from '../store-limits.ts';
import type { SessionChanges } from './session-changes.ts';

/** They go along with the next commit; this many get a commit of their own. */
const USES_WAITING_MAX = 1_000;

/** Uses of sessions that are not written yet. A lost one only makes a session look older than it is. */
export class WaitingUses {
  readonly #uses = new Map<SessionKeyText, { readonly key: SessionKey; readonly usedAtMs: number }>();

  get isEmpty(): boolean {
    return this.#uses.size === 0;
  }

  /** Returns whether there are so many that they should be written now. */
  note(key: SessionKey, row: SessionRow, usedAtMs: number): boolean {
    const keyText = sessionKeyText(key);
    const notedAtMs = this.#uses.get(keyText)?.usedAtMs ?? row.lastUsedAtMs;
    if (usedAtMs - notedAtMs < USE_NOTED_EVERY_MS) return false;
    this.#uses.set(keyText, { key, usedAtMs });
    return this.#uses.size === USES_WAITING_MAX;
  }

  /** Has a group of work write them. */
  async moveTo(changes: SessionChanges): Promise<void> {
    const uses = [...this.#uses.values()];
    this.#uses.clear();
    for (const { key, usedAtMs } of uses) {
      await changes.load(key);
      changes.markUsed(key, usedAtMs);
    }
  }
}
