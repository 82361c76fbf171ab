import type { TurnAttempt } from '../../context-store/turn-arbitration.ts';
import { type ContextId, type NodeId, type SessionKey, sessionKeyText } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';

/**
 * How long a grant lasts without being confirmed: three confirmations may be late before a node that died, or cannot be
 * heard, no longer keeps others from its turn.
 */
export const GRANT_MS = 5_000;
export const CONFIRM_EVERY_MS = 1_500;
/** A record of a turn that was answered out of hearing arrives within minutes of a cut, or its cut is said by then. */
const LAPSED_KEPT_MS = 60_000;
/** Turns that nodes are at, and those that none is heard of any more: 300 bytes each. */
const GRANTS_MAX = 10_000;

export type Taken =
  /**
   * `isSure`: as far as this node knows nobody else is, or was left, at it. `lapsed` is the node of which nothing was heard
   * again that was.
   */
  | { readonly kind: 'taken'; readonly isSure: boolean; readonly lapsed?: NodeId }
  | { readonly kind: 'held'; readonly by: NodeId };

interface Grant {
  readonly by: NodeId;
  readonly attempt: number;
  /** On the monotonic clock. A node's own lasts until it is given back. */
  readonly untilMs: number;
  /** The one before it, of which nothing was heard again: remembered until the turn is answered. */
  readonly lapsed: Grant | undefined;
}

/** Which node is at which turn, as this one has let them, itself included. In memory: it outlives no node. */
export class TurnGrants {
  readonly #clock: Clock;
  /** Until then the life before of this node may have let others on. */
  readonly #unsureUntilMs: number;
  readonly #grants = new Map<string, Grant>();

  /** `isRestart`: the node has had a life before, whose grants are forgotten until they are confirmed. */
  constructor(clock: Clock, { isRestart = false } = {}) {
    this.#clock = clock;
    this.#unsureUntilMs = isRestart ? clock.monotonic() + GRANT_MS : 0;
  }

  /** The node that is at the turn after `parent`, where it is another than `nodeId`. */
  heldFrom(nodeId: NodeId, { key, parent }: TurnAttempt): NodeId | undefined {
    const grant = this.#grants.get(spotText(key, parent));
    const isHeld = grant !== undefined && grant.by !== nodeId && grant.untilMs > this.#clock.monotonic();
    return isHeld ? grant.by : undefined;
  }

  /** Puts the node at the turn unless another one is; for {@link GRANT_MS}, or without end. */
  take(by: NodeId, attempt: TurnAttempt, { isEndless = false } = {}): Taken {
    const other = this.heldFrom(by, attempt);
    if (other !== undefined) return { kind: 'held', by: other };
    const spot = spotText(attempt.key, attempt.parent);
    const before = this.#grants.get(spot);
    const isNew = before === undefined || before.by !== by;
    if (isNew && !this.#makeRoom()) return { kind: 'taken', isSure: false };
    // The latest is last, so that those who wait longest for word of them are forgotten first.
    this.#grants.delete(spot);
    const nowMs = this.#clock.monotonic();
    const untilMs = isEndless ? Number.POSITIVE_INFINITY : nowMs + GRANT_MS;
    const lapsed = isNew ? before && { ...before, lapsed: undefined } : before.lapsed;
    // Word of an attempt that is over may come after the next one's.
    const latest = isNew ? attempt.attempt : Math.max(before.attempt, attempt.attempt);
    this.#grants.set(spot, { by, attempt: latest, untilMs, lapsed });
    if (lapsed !== undefined) return { kind: 'taken', isSure: false, lapsed: lapsed.by };
    return { kind: 'taken', isSure: nowMs >= this.#unsureUntilMs };
  }

  /** The node is not at it any more, and nothing is stored. */
  giveBack(by: NodeId, { key, parent, attempt }: TurnAttempt): void {
    const spot = spotText(key, parent);
    const grant = this.#grants.get(spot);
    if (grant?.by !== by || grant.attempt !== attempt) return;
    this.#grants.delete(spot);
    if (grant.lapsed !== undefined) this.#grants.set(spot, grant.lapsed);
  }

  /** The turn is answered: whoever asks finds its record. */
  settle(key: SessionKey, parent: ContextId | undefined): void {
    if (this.#grants.size > 0) this.#grants.delete(spotText(key, parent));
  }

  #makeRoom(): boolean {
    const nowMs = this.#clock.monotonic();
    for (const [spot, { untilMs }] of this.#grants) {
      if (untilMs + LAPSED_KEPT_MS > nowMs && this.#grants.size < GRANTS_MAX) break;
      if (untilMs <= nowMs) this.#grants.delete(spot);
      // Those behind one that is held were taken later, and are held, too; only a node's own last out of turn.
      else if (this.#grants.size < GRANTS_MAX || untilMs !== Number.POSITIVE_INFINITY) break;
    }
    return this.#grants.size < GRANTS_MAX;
  }
}

function spotText(key: SessionKey, parent: ContextId | undefined): string {
  return `${sessionKeyText(key)}\n${parent ?? ''}`;
}
