import type { SessionKeyText } from '../../domain/identifiers.ts';

export interface WarmingLimits {
  /** `undefined`: as many as the idle engine evaluates. */
  readonly idsPerSecond: number | undefined;
  /** Of KV state that was warmed and not used yet; `undefined`: as much as the engine has room for. */
  readonly kvBytes: number | undefined;
}

/** Sessions that are remembered to have been warmed. */
const SESSIONS_MAX = 4_096;

/** How much may be warmed: ids for each second, and bytes of KV state that wait to be used. */
export class WarmingBudget {
  readonly #limits: WarmingLimits;
  /** Ids that were warmed and not used yet, the session warmed last at the end. */
  readonly #held = new Map<SessionKeyText, number>();
  #ids = 0;
  #freeAtMs = Number.NEGATIVE_INFINITY;

  constructor(limits: WarmingLimits) {
    this.#limits = limits;
  }

  /** How long to wait before more is evaluated. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#freeAtMs - nowMs);
  }

  /** Whether a context of so many ids may be held at all. */
  allows(ids: number, bytesPerToken: number | undefined): boolean {
    const { kvBytes } = this.#limits;
    return kvBytes === undefined || ids * (bytesPerToken ?? 0) <= kvBytes;
  }

  /** So many ids of a session were warmed. Returns the sessions that are to lose what was warmed of them for it, those warmed longest ago. */
  spend(
    keyText: SessionKeyText,
    ids: number,
    { nowMs, bytesPerToken }: { readonly nowMs: number; readonly bytesPerToken: number | undefined },
  ): readonly SessionKeyText[] {
    const { idsPerSecond, kvBytes = Number.POSITIVE_INFINITY } = this.#limits;
    if (idsPerSecond !== undefined) this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + (ids * 1000) / idsPerSecond;
    const held = (this.#held.get(keyText) ?? 0) + ids;
    this.release(keyText);
    this.#held.set(keyText, held);
    this.#ids += held;
    const given: SessionKeyText[] = [];
    for (const oldest of this.#held.keys()) {
      const isOver = bytesPerToken !== undefined && this.#ids * bytesPerToken > kvBytes;
      if (oldest === keyText || !(isOver || this.#held.size > SESSIONS_MAX)) break;
      this.release(oldest);
      if (isOver) given.push(oldest);
    }
    return given;
  }

  /** The session has used what was warmed for it, or is gone. */
  release(keyText: SessionKeyText): void {
    this.#ids -= this.#held.get(keyText) ?? 0;
    this.#held.delete(keyText);
  }
}
