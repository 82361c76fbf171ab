import type { SharedContexts } from '../../context-store/context-store.ts';
import { type Outlook, outlookFor } from '../../context-store/replication-status.ts';
import { type SessionKey, sessionKeyText } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import { abortable } from '../../waiting/abortable.ts';
import { pause } from '../../waiting/pause.ts';
import type { StopSign } from '../../waiting/stop.ts';
import { within } from '../../waiting/within.ts';
import type { Arrivals } from '../sessions/arrivals.ts';
import type { CachedSession } from '../sessions/session-cache.ts';
import type { SessionRecords } from '../sessions/session-records.ts';

/** What was seen of a session, and how long it took. */
export interface Seen<T> {
  readonly session: CachedSession;
  readonly seen: T;
  readonly waitedMs: number;
  /** How often it was looked again after the first time. */
  readonly retries: number;
}

/**
 * What a look at a session lacked: `arrival` where it may be on its way from another node, `elsewhere` where only a peer can
 * tell whether there is such a thing.
 */
export type Lack = 'arrival' | 'elsewhere';

/**
 * How long what is missing may be on its way before the peers are asked for it: several times what replication takes, so
 * that who has just moved costs nothing.
 */
const FETCH_HEAD_START_MS = 100;

/** A peer that hangs must not keep what arrives by itself from being seen. */
const FETCH_PATIENCE_MS = 500;

/** What makes a wait look again. */
export interface LookAgainPolicy {
  /**
   * Resolves when it is time to look again, at the latest after `leftMs`; false at once when it is time to give up.
   * Throws `signal.reason` on abort.
   */
  next(key: SessionKey, soFar: { retries: number; leftMs: number }, signal: AbortSignal): Promise<boolean>;
}

/** Looks again when a record of the session has arrived from another node. */
export function eventPolicy(arrivals: Arrivals): LookAgainPolicy {
  return {
    async next(key, { leftMs }, signal) {
      await arrivals.next(sessionKeyText(key), leftMs, signal);
      return true;
    },
  };
}

/**
 * The paper's policy (§3.3), for comparison: reads the replica again `retriesMax` times, `backoffMs` apart, and hears
 * of no arrival in between.
 */
export function fixedPolicy(
  { clock, records }: { readonly clock: Clock; readonly records: SessionRecords },
  { retriesMax, backoffMs }: { readonly retriesMax: number; readonly backoffMs: number },
): LookAgainPolicy {
  return {
    async next(key, { retries, leftMs }, signal) {
      if (retries >= retriesMax) return false;
      await pause(clock, Math.min(backoffMs, leftMs), signal);
      signal.throwIfAborted();
      records.forget(key);
      return true;
    },
  };
}

/**
 * Waits until this node's replica of a session holds what is needed, bounded; what does not arrive by itself is fetched from
 * the peers, where the store can. A store without other nodes has no policy: nothing can arrive, so there is nothing to wait
 * for.
 */
export class ReplicaWait {
  readonly #clock: Clock;
  readonly #records: SessionRecords;
  readonly #policy: LookAgainPolicy | undefined;

  constructor(parts: { clock: Clock; records: SessionRecords; policy: LookAgainPolicy | undefined }) {
    this.#clock = parts.clock;
    this.#records = parts.records;
    this.#policy = parts.policy;
  }

  /** Whether the store shares its sessions with no other node. */
  get isAlone(): boolean {
    return this.#policy === undefined;
  }

  /** Whether what is not here can still come from another node. */
  outlookFor({ keygroup }: Pick<SessionKey, 'keygroup'>): Outlook {
    const { sharing } = this.#records;
    return sharing === undefined ? 'unshared' : outlookFor(keygroup, sharing.status());
  }

  /**
   * Looks at the session until what is seen lacks nothing, for at most `maxWaitMs`; resolves with what was seen last. A fetch
   * that is under way by then goes on, so that the next one to ask finds what it brings. Throws what `look` and the store
   * throw; the reason of `stop` when that is given.
   */
  async until<T>(
    key: SessionKey,
    { maxWaitMs, stop }: { readonly maxWaitMs: number; readonly stop: StopSign },
    look: (session: CachedSession) => T,
    lackIn: (seen: T) => Lack | undefined,
  ): Promise<Seen<T>> {
    const startedMs = this.#clock.monotonic();
    const asking = new Asking(this.#records.sharing, key);
    let retries = 0;
    const fetching = this.#records.sharing?.fetching?.(key);
    // What another request is having fetched is not looked at in part.
    if (fetching !== undefined) await this.#untilOver(fetching, Math.min(maxWaitMs, FETCH_PATIENCE_MS), stop.signal);
    for (;;) {
      const session = await this.#records.load(key);
      const waitedMs = this.#clock.monotonic() - startedMs;
      const seen = look(session);
      const lack = lackIn(seen);
      const leftMs = maxWaitMs - waitedMs;
      if (lack === undefined) return { session, seen, waitedMs, retries };
      const headStartMs = asking.isOpen ? Math.min(leftMs, FETCH_HEAD_START_MS - waitedMs) : leftMs;
      if (lack === 'arrival' && headStartMs > 0) {
        if ((await this.#policy?.next(key, { retries, leftMs: headStartMs }, stop.signal)) ?? false) {
          retries++;
          continue;
        }
      }
      if (!asking.isOpen || leftMs <= 0) {
        asking.begin();
        return { session, seen, waitedMs, retries };
      }
      await asking.ask(lack === 'arrival' ? Math.min(leftMs, FETCH_PATIENCE_MS) : leftMs, stop.signal);
    }
  }

  async #untilOver(fetching: Promise<unknown>, waitMs: number, signal: AbortSignal): Promise<void> {
    if (waitMs <= 0) return;
    await within<unknown>({ clock: this.#clock, waitMs }, abortable(fetching, signal), () => {});
  }
}

/** One look's question to the peers, asked once. */
class Asking {
  readonly #sharing: SharedContexts | undefined;
  readonly #key: SessionKey;
  #hasAsked = false;

  constructor(sharing: SharedContexts | undefined, key: SessionKey) {
    this.#sharing = sharing;
    this.#key = key;
  }

  /** Whether there is somebody to ask, and it has not been done. */
  get isOpen(): boolean {
    return !this.#hasAsked && this.#sharing?.fetch !== undefined;
  }

  /** Waits so long for what comes. Until then nothing is looked at: a session in part would be taken for all of it. */
  async ask(waitMs: number, signal: AbortSignal): Promise<void> {
    this.#hasAsked = true;
    await this.#sharing?.fetch?.(this.#key, { waitMs, signal });
  }

  /** What comes is for the next one to look. */
  begin(): void {
    if (this.isOpen) void this.ask(0, new AbortController().signal);
  }
}
