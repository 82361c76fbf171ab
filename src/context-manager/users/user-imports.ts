import { isDeepStrictEqual } from 'node:util';
import { DiscedgeError } from '../../domain/errors.ts';
import type { UserId } from '../../domain/identifiers.ts';
import { erasedMeanwhile } from '../documents/cluster-documents.ts';
import type { Preferences, UserPreferences } from '../layers/user-preferences.ts';
import type { SessionRecords } from '../sessions/session-records.ts';
import type { Erasures } from './erasures.ts';
import type { UserLifetimes } from './user-lifetimes.ts';

/** Under way at a node: each holds a session in memory, as it came and as its records. */
const IMPORTS_MAX = 2;
const IMPORT_RETRY_MS = 1_000;

/** What became of a part of what was exported: it is here by this import, or it was here, the same, before. */
export type Restored = 'imported' | 'already_here';

export interface UserImportsParts {
  readonly records: Pick<SessionRecords, 'erasures'>;
  readonly erasures: Pick<Erasures, 'isUnderWay'>;
  readonly preferences: Pick<UserPreferences, 'get' | 'put'>;
  readonly userLifetimes: Pick<UserLifetimes, 'get' | 'put'>;
}

/** Users of whom everything that was exported is being put back. */
export class UserImports {
  readonly #parts: UserImportsParts;
  readonly #users = new Set<UserId>();

  constructor(parts: UserImportsParts) {
    this.#parts = parts;
  }

  /** Throws `overloaded` while the user is being erased, or imported, and while as many others are as may be; and what `task` throws. */
  async run<T>(userId: UserId, task: (user: UserImport) => Promise<T>): Promise<T> {
    if (this.#parts.erasures.isUnderWay(userId)) throw busy('everything of this user is being erased');
    if (this.#users.has(userId)) throw busy('an import of this user is under way');
    if (this.#users.size >= IMPORTS_MAX) throw busy(`${this.#users.size} imports are under way`);
    this.#users.add(userId);
    try {
      return await task(new UserImport(userId, this.#parts));
    } finally {
      this.#users.delete(userId);
    }
  }
}

/** One user, as far as it is none of its sessions that is put back. What is there, and another, stays. */
export class UserImport {
  readonly userId: UserId;
  /** The user's latest erasure when it began: after another one nothing more comes back. */
  readonly erasure: number;
  readonly #parts: UserImportsParts;

  constructor(userId: UserId, parts: UserImportsParts) {
    this.userId = userId;
    this.#parts = parts;
    this.erasure = parts.records.erasures.latest(userId);
  }

  /** Throws `session_deleted` once the user has been erased since it began. */
  requireNotErased(): void {
    if (this.#parts.records.erasures.latest(this.userId) !== this.erasure) throw erasedMeanwhile();
  }

  /** Throws `version_conflict` where the user has other ones here, and what {@link UserPreferences.put} throws. */
  async preferences(preferences: Preferences): Promise<Restored> {
    const stored = await this.#parts.preferences.get(this.userId);
    if (isDeepStrictEqual(stored.preferences, preferences)) return 'already_here';
    if (stored.preferences !== undefined) throw another('preferences');
    this.requireNotErased();
    await this.#parts.preferences.put(this.userId, preferences, { expected: stored.version });
    return 'imported';
  }

  /** In seconds. Throws `version_conflict` where another is said here, and what {@link UserLifetimes.put} throws. */
  async lifetime(seconds: number): Promise<Restored> {
    const stored = await this.#parts.userLifetimes.get(this.userId);
    if (stored === seconds) return 'already_here';
    if (stored !== undefined) throw another('ttl_seconds');
    this.requireNotErased();
    await this.#parts.userLifetimes.put(this.userId, seconds);
    return 'imported';
  }
}

function busy(why: string): DiscedgeError {
  return new DiscedgeError('overloaded', `${why}: ask again`, { retryAfterMs: IMPORT_RETRY_MS });
}

function another(param: string): DiscedgeError {
  return new DiscedgeError('version_conflict', `the user has another ${param} here, which stays`, { param });
}
