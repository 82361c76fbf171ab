import type { RecordSource } from '../../context-store/context-store.ts';
import { type SessionKey, type SessionKeyText, sessionKeyText, type UserId } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import type { LearnedMovement } from './learned-movement.ts';
import { type SeenTurn, Tracks } from './tracks.ts';
import type { WarmingPolicy } from './warming-policy.ts';
import { type Expected, WarmingQueue } from './warming-queue.ts';

/** A turn that was taken so long ago is followed by none soon: a node that catches up after a cut warms nothing for it. */
export const STILL_MS = 3_600_000;
/** A client that says again and again that it comes is heard this often, */
const COMING_EVERY_MS = 5_000;
/** and is expected for so long, whatever comes of its session meanwhile. */
const COMING_MS = 60_000;
/** Clients that are remembered to have said so. */
const COMING_MAX = 1_024;
/** Sessions that are not here and whose clients say that they come, of one user and of all: anybody can invent ids. */
export const AWAITED_OF_USER_MAX = 16;
const AWAITED_MAX = 256;

/**
 * Which sessions are to be warmed, and in which order: what a policy makes of the turns that are seen, and what clients say.
 * Knows of no engine and reads no context.
 */
export class WarmingPlan {
  readonly #policy: WarmingPolicy;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #tracks: Tracks;
  readonly #queue = new WarmingQueue();
  readonly #coming = new Map<SessionKeyText, number>();
  /** Those of which nothing is here. */
  readonly #awaited = new Map<SessionKeyText, { readonly userId: UserId; readonly saidMs: number }>();

  constructor(policy: WarmingPolicy, clock: Pick<Clock, 'now'>) {
    this.#policy = policy;
    this.#clock = clock;
    this.#tracks = new Tracks((track) => policy.ended?.(track));
  }

  get queued(): number {
    return this.#queue.size;
  }

  get dropped(): number {
    return this.#queue.dropped;
  }

  /**
   * Takes in a turn of any session, and has its session wait to be warmed, or wait no longer. Returns the chance that the next one
   * is taken here, where that can be said.
   */
  seen(key: SessionKey, turn: Omit<SeenTurn, 'keyText'>, from: RecordSource): number | undefined {
    const keyText = sessionKeyText(key);
    const { track, isNews } = this.#tracks.follow({ keyText, ...turn });
    if (isNews) this.#policy.learn?.(track);
    const expected = this.#policy.expect(track, this.#clock.now());
    // A turn that was taken here has left its context in the KV cache.
    if (from === 'here') {
      this.#coming.delete(keyText);
      this.#awaited.delete(keyText);
    }
    const isComing = this.#isComing(keyText);
    const chance = isComing ? 1 : expected?.chance;
    const isWorth = isComing || (expected?.isWorth === true && this.#clock.now() - turn.atMs < STILL_MS);
    if (isWorth && chance !== undefined && from === 'elsewhere') this.#queue.add({ key, chance });
    else this.#queue.remove(keyText);
    return chance;
  }

  /** Its client says that it comes here next; it is here, and takes the place of none that records asked for. */
  coming(key: SessionKey): void {
    const keyText = sessionKeyText(key);
    const nowMs = this.#clock.now();
    this.#awaited.delete(keyText);
    const before = this.#coming.get(keyText);
    if (before !== undefined && nowMs - before < COMING_EVERY_MS) return;
    this.#coming.delete(keyText);
    this.#coming.set(keyText, nowMs);
    if (this.#coming.size > COMING_MAX) this.#coming.delete(this.#coming.keys().next().value as SessionKeyText);
    this.#queue.add({ key, chance: 1 }, { isModest: true });
  }

  /**
   * Its client says so of a session that is not here: its next record has it warmed. Returns whether it is worth being looked for
   * now; not where that was said just before, or of too many others.
   */
  awaits(key: SessionKey): boolean {
    const keyText = sessionKeyText(key);
    const nowMs = this.#clock.now();
    const before = this.#awaited.get(keyText);
    if (before !== undefined && nowMs - before.saidMs < COMING_EVERY_MS) return false;
    for (const [other, { saidMs }] of this.#awaited) if (nowMs - saidMs >= COMING_MS) this.#awaited.delete(other);
    this.#awaited.delete(keyText);
    const ofUser = [...this.#awaited.values()].filter(({ userId }) => userId === key.userId);
    if (ofUser.length >= AWAITED_OF_USER_MAX || this.#awaited.size >= AWAITED_MAX) return false;
    this.#awaited.set(keyText, { userId: key.userId, saidMs: nowMs });
    return true;
  }

  /** There is no such session any more. */
  removed(keyText: SessionKeyText): void {
    this.#queue.remove(keyText);
    this.#coming.delete(keyText);
    this.#awaited.delete(keyText);
    this.#tracks.end(keyText);
  }

  /** See {@link WarmingPolicy.learned}. */
  learned(): LearnedMovement | undefined {
    return this.#policy.learned?.();
  }

  /** The next one to be warmed. */
  take(): Expected | undefined {
    return this.#queue.take();
  }

  #isComing(keyText: SessionKeyText): boolean {
    const saidMs = this.#coming.get(keyText) ?? this.#awaited.get(keyText)?.saidMs;
    return saidMs !== undefined && this.#clock.now() - saidMs < COMING_MS;
  }
}
