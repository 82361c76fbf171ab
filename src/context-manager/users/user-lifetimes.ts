import type { UserId } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import type { ClusterDocuments } from '../documents/cluster-documents.ts';
import { type FoundUserValue, UserDocument } from '../documents/user-document.ts';

interface Known {
  readonly ttlMs: number;
  /** The document's, which may be put again. */
  readonly expiresAtMs: number;
}

export interface UserLifetimesParts {
  readonly documents: ClusterDocuments;
  /** How long a document lives. */
  readonly documentMs: number;
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
}

/**
 * How long what users say is kept, for those of whom that was said, at all nodes of a cluster. All of them are in memory, a hundred
 * bytes each, so that a turn only looks.
 */
export class UserLifetimes {
  readonly #parts: UserLifetimesParts;
  readonly #seconds: UserDocument<number>;
  readonly #known = new Map<UserId, Known>();

  constructor(parts: UserLifetimesParts) {
    this.#parts = parts;
    const { documents, environment } = parts;
    this.#seconds = new UserDocument({ documents, kind: 'user-lifetime', field: 'seconds', isValue: isSeconds });
    this.#seconds.onChanged((userId) => {
      const reading = this.#read(userId);
      reading.catch((error: unknown) => environment.logger.warn('user_lifetime_not_read', {}, error));
    });
  }

  /** Takes in what the store has. Throws what it throws. */
  async start(): Promise<void> {
    for await (const userId of this.#seconds.users()) await this.#read(userId);
  }

  /** For a turn of the user that is written now and whose request names no time to live; `undefined`: as for any user. */
  ttlMs(userId: UserId): number | undefined {
    const known = this.#known.get(userId);
    if (known === undefined) return undefined;
    const { clock, logger } = this.#parts.environment;
    const leftMs = known.expiresAtMs - clock.now();
    if (leftMs <= 0) return undefined;
    // Put again by whichever node then has a turn of the user; the same content once more is no news.
    if (leftMs < this.#parts.documentMs / 2) {
      this.#known.set(userId, { ...known, expiresAtMs: known.expiresAtMs + this.#parts.documentMs / 2 });
      const prolonged = this.#seconds.prolong(userId);
      prolonged.catch((error: unknown) => logger.warn('user_lifetime_not_prolonged', {}, error));
    }
    return known.ttlMs;
  }

  /** In seconds; `undefined` where nothing was said. Throws what the store throws. */
  async get(userId: UserId): Promise<number | undefined> {
    return (await this.#seconds.get(userId)).value;
  }

  /**
   * Sets it, or takes it away with `undefined`; durable here when it resolves, counts here from then on, and is on its way to all nodes.
   * Throws `session_deleted` where the user is erased meanwhile, and what the store throws.
   */
  async put(userId: UserId, seconds: number | undefined): Promise<void> {
    await this.#seconds.put(userId, seconds);
    await this.#read(userId);
  }

  #read(userId: UserId): Promise<void> {
    return this.#seconds.read(userId, (found) => this.#know(userId, found));
  }

  #know(userId: UserId, found: FoundUserValue<number> | undefined): void {
    if (found?.value === undefined) this.#known.delete(userId);
    else this.#known.set(userId, { ttlMs: found.value * 1000, expiresAtMs: found.expiresAtMs });
  }
}

function isSeconds(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
