import { type Outlook, outlookFor } from '../../context-store/replication-status.ts';
import { type SessionKey, sessionKeyText } from '../../domain/identifiers.ts';
import type { Clock } from '../../environment/environment.ts';
import { pause } from '../../waiting/pause.ts';
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
 * Waits until this node's replica of a session holds what is needed, bounded. A store without other nodes has no policy:
 * nothing can arrive, so there is nothing to wait for.
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
  outlookFor({ keygroup }: SessionKey): Outlook {
    const { sharing } = this.#records;
    return sharing === undefined ? 'unshared' : outlookFor(keygroup, sharing.status());
  }

  /**
   * Looks at the session until what is seen is enough, for at most `maxWaitMs`; resolves with what was seen last. Throws
   * what `look` and the store throw; `signal.reason` on abort.
   */
  async until<T>(
    key: SessionKey,
    { maxWaitMs, signal }: { readonly maxWaitMs: number; readonly signal: AbortSignal },
    look: (session: CachedSession) => T,
    isEnough: (seen: T) => boolean,
  ): Promise<Seen<T>> {
    const startedMs = this.#clock.monotonic();
    for (let retries = 0; ; retries++) {
      const session = await this.#records.load(key);
      const waitedMs = this.#clock.monotonic() - startedMs;
      const seen = look(session);
      const leftMs = maxWaitMs - waitedMs;
      const isOver =
        isEnough(seen) || leftMs <= 0 || !((await this.#policy?.next(key, { retries, leftMs }, signal)) ?? false);
      if (isOver) return { session, seen, waitedMs, retries };
    }
  }
}
