import { DiscedgeError } from '../../domain/errors.ts';
import type { UserId } from '../../domain/identifiers.ts';
import type { Clock, Logger } from '../../environment/environment.ts';
import type { ClusterDocuments } from '../documents/cluster-documents.ts';
import { UserDocument, type UserValue } from '../documents/user-document.ts';
import { type Layer, layerOf, type StampOf } from './layer.ts';

/** A text, or a few named ones. */
export type Preferences = string | Readonly<Record<string, string>>;

/** Of their JSON. They stand before every turn of their user, and every node holds them. */
export const PREFERENCES_BYTES_MAX = 8 * 1024;
export const PREFERENCES_NAMES_MAX = 64;
/**
 * Changes of one user's in 24 hours, at whichever nodes: more than a person makes. What they were before stays stored for as long as a
 * document lives, 800 KiB of a day at most.
 */
export const CHANGES_A_DAY_MAX = 100;
const DAY_MS = 24 * 60 * 60 * 1000;
/** Users whose preferences are held in memory: those of a busy hour, in at most so many times {@link PREFERENCES_BYTES_MAX}. */
const USERS_MAX = 2_048;

export interface StoredPreferences {
  /** `undefined`: none, as they were never set, were taken away or are over. */
  readonly preferences: Preferences | undefined;
  /** Of what was written last; 0 where nothing was. */
  readonly version: number;
}

interface Known {
  readonly layer: Layer | undefined;
  readonly untilMs: number;
}

export interface UserPreferencesParts {
  readonly documents: ClusterDocuments;
  readonly stampOf: StampOf;
  /** How long a document lives. */
  readonly documentMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What users of a cluster prefer, each for itself, at all nodes. */
export class UserPreferences {
  readonly #parts: UserPreferencesParts;
  readonly #stored: UserDocument<Preferences>;
  readonly #known = new Map<UserId, Known>();
  readonly #reading = new Map<UserId, Promise<Layer | undefined>>();
  /** Until it is found that nobody has any. */
  #hasAny = true;

  constructor(parts: UserPreferencesParts) {
    this.#parts = parts;
    const { documents } = parts;
    const kind = 'user-preferences';
    this.#stored = new UserDocument({ documents, kind, field: 'preferences', isValue: isPreferences });
    this.#stored.onChanged((userId) => {
      this.#hasAny = true;
      this.#known.delete(userId);
      this.#reading.delete(userId);
    });
  }

  /** Finds out whether anybody has any: until somebody has, no turn looks. */
  async start(): Promise<void> {
    this.#hasAny = false;
    const found = await this.#stored.hasAny();
    this.#hasAny ||= found;
  }

  /** As a turn of the user has them. At once, unless they have to be read. */
  layer(userId: UserId): Layer | undefined | Promise<Layer | undefined> {
    if (!this.#hasAny) return undefined;
    const known = this.#known.get(userId);
    if (known !== undefined && known.untilMs > this.#parts.clock.now()) return known.layer;
    return this.#reading.get(userId) ?? this.#read(userId);
  }

  /** Of two that nodes have written while apart, the same one at every node. */
  async get(userId: UserId): Promise<StoredPreferences> {
    return storedOf(await this.#stored.get(userId));
  }

  /**
   * Sets them, or takes them away with `undefined`; durable here when it resolves, and on their way to all nodes. With `expected`
   * only where that is still the version here: throws `version_conflict` otherwise. Throws `session_deleted` where the user is erased
   * meanwhile, `rate_limited` where they were changed {@link CHANGES_A_DAY_MAX} times within a day, but takes them away even then; and what
   * the store throws. To take away what is not there is no change.
   */
  async put(
    userId: UserId,
    preferences: Preferences | undefined,
    { expected }: { readonly expected?: number | undefined } = {},
  ): Promise<StoredPreferences> {
    const written = this.#stored.put(userId, preferences, (before) => {
      const version = before?.version ?? 0;
      if (expected !== undefined && version !== expected) throw conflict(version);
      if (preferences !== undefined) this.#requireSeldom(before?.writtenAtMs ?? []);
      return preferences !== undefined || before?.value !== undefined;
    });
    return storedOf(await written);
  }

  #requireSeldom(writtenAtMs: readonly number[]): void {
    const nowMs = this.#parts.clock.now();
    const lately = writtenAtMs.filter((atMs) => atMs > nowMs - DAY_MS).sort((a, b) => b - a);
    const oldest = lately[CHANGES_A_DAY_MAX - 1];
    if (oldest === undefined) return;
    const message = `the preferences were changed ${lately.length} times in a day, and may be ${CHANGES_A_DAY_MAX} times; they can be taken away`;
    throw new DiscedgeError('rate_limited', message, { retryAfterMs: Math.min(DAY_MS, oldest + DAY_MS - nowMs) });
  }

  #read(userId: UserId): Promise<Layer | undefined> {
    const reading = this.#readLayer(userId, () => this.#reading.get(userId) === reading);
    this.#reading.set(userId, reading);
    const done = () => {
      if (this.#reading.get(userId) === reading) this.#reading.delete(userId);
    };
    reading.then(done, done);
    return reading;
  }

  async #readLayer(userId: UserId, isCurrent: () => boolean): Promise<Layer | undefined> {
    const { stampOf, clock, documentMs, logger } = this.#parts;
    const found = await this.#stored.find(userId);
    const preferences = found?.value;
    const layer = preferences === undefined ? undefined : layerOf('preferences', textOf(preferences), stampOf);
    const nowMs = clock.now();
    // Past half its life it is put again, by whichever node then has a turn of the user.
    if (isCurrent()) this.#remember(userId, { layer, untilMs: nowMs + documentMs / 4 });
    if (found !== undefined && layer !== undefined && found.expiresAtMs < nowMs + documentMs / 2) {
      const again = this.#stored.prolong(userId);
      again.catch((error: unknown) => logger.warn('preferences_not_prolonged', {}, error));
    }
    return layer;
  }

  #remember(userId: UserId, known: Known): void {
    this.#known.delete(userId);
    this.#known.set(userId, known);
    if (this.#known.size > USERS_MAX) this.#known.delete(this.#known.keys().next().value as UserId);
  }
}

/** As the model reads them: a text as it is, of several each in a line after its name. */
export function textOf(preferences: Preferences): string {
  if (typeof preferences === 'string') return preferences;
  return Object.entries(preferences)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n');
}

function storedOf({ value: preferences, version }: UserValue<Preferences>): StoredPreferences {
  return { preferences, version };
}

function isPreferences(value: unknown): value is Preferences {
  if (typeof value === 'string') return true;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((one) => typeof one === 'string');
}

function conflict(version: number): DiscedgeError {
  const message = `the preferences are at version ${version}, and another one was expected: read them again`;
  return new DiscedgeError('version_conflict', message, { param: 'version' });
}
