import { type SessionKey, type SessionKeyText, sessionKeyText } from '../../domain/identifiers.ts';

/** A session to be warmed. */
export interface Expected {
  readonly key: SessionKey;
  /** That its next turn is taken here, 0 to 1. */
  readonly chance: number;
}

/** Far more than can be warmed before newer ones come; each takes some 200 bytes. */
export const EXPECTED_MAX = 256;

/** The sessions that wait to be warmed: one entry each, the newest first, and the oldest dropped where there are too many. */
export class WarmingQueue {
  readonly #waiting = new Map<SessionKeyText, Expected>();
  #dropped = 0;

  get size(): number {
    return this.#waiting.size;
  }

  /** Entries that were given up for newer ones, since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  has(keyText: SessionKeyText): boolean {
    return this.#waiting.has(keyText);
  }

  /** `isModest`: it takes the place of no other. */
  add(expected: Expected, { isModest = false } = {}): void {
    const keyText = sessionKeyText(expected.key);
    if (isModest && this.#waiting.size >= EXPECTED_MAX && !this.#waiting.has(keyText)) {
      this.#dropped++;
      return;
    }
    this.#waiting.delete(keyText);
    this.#waiting.set(keyText, expected);
    if (this.#waiting.size <= EXPECTED_MAX) return;
    this.#waiting.delete(this.#waiting.keys().next().value as SessionKeyText);
    this.#dropped++;
  }

  remove(keyText: SessionKeyText): void {
    this.#waiting.delete(keyText);
  }

  /** The newest, which then no longer waits. */
  take(): Expected | undefined {
    const newest = [...this.#waiting].at(-1);
    if (newest === undefined) return undefined;
    this.#waiting.delete(newest[0]);
    return newest[1];
  }
}
