import type { UserId } from '../../domain/identifiers.ts';
import type { Environment } from '../../environment/environment.ts';
import { OneAtATime } from '../../waiting/one-at-a-time.ts';
import type { ClusterDocuments } from '../documents/cluster-documents.ts';
import { newestVersion } from '../documents/newest-version.ts';

const KIND = 'user-lifetime';

interface StoredLifetime {
  /** `undefined`: taken away. */
  readonly seconds: number | undefined;
  readonly version: number;
}

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
  readonly #known = new Map<UserId, Known>();
  readonly #inTurn = new OneAtATime();

  constructor(parts: UserLifetimesParts) {
    this.#parts = parts;
    const { documents, environment } = parts;
    documents.onChanged(KIND, (id) => {
      const reading = this.#inTurn.run(() => this.#read(id as UserId));
      reading.catch((error: unknown) => environment.logger.warn('user_lifetime_not_read', {}, error));
    });
  }

  /** Takes in what the store has. Throws what it throws. */
  async start(): Promise<void> {
    for await (const { id } of this.#parts.documents.all(KIND)) await this.#inTurn.run(() => this.#read(id as UserId));
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
      this.#putAgain(userId).catch((error: unknown) => logger.warn('user_lifetime_not_prolonged', {}, error));
    }
    return known.ttlMs;
  }

  /** In seconds; `undefined` where nothing was said. Throws what the store throws. */
  async get(userId: UserId): Promise<number | undefined> {
    return (await this.#find(userId))?.stored.seconds;
  }

  /**
   * Sets it, or takes it away with `undefined`; durable here when it resolves, counts here from then on, and is on its way to all nodes.
   * Throws `session_deleted` where the user is erased meanwhile, and what the store throws.
   */
  put(userId: UserId, seconds: number | undefined): Promise<void> {
    const { documents } = this.#parts;
    const erasure = documents.erasure(KIND, userId);
    return this.#inTurn.run(async () => {
      const version = ((await this.#find(userId))?.stored.version ?? 0) + 1;
      await documents.put(KIND, userId, Buffer.from(JSON.stringify({ seconds, version })), { erasure });
      await this.#read(userId);
    });
  }

  #putAgain(userId: UserId): Promise<void> {
    const { documents } = this.#parts;
    const erasure = documents.erasure(KIND, userId);
    return this.#inTurn.run(async () => {
      const found = await this.#find(userId);
      if (found !== undefined) await documents.put(KIND, userId, found.content, { erasure });
    });
  }

  async #read(userId: UserId): Promise<void> {
    const found = await this.#find(userId);
    const seconds = found?.stored.seconds;
    if (found === undefined || seconds === undefined) this.#known.delete(userId);
    else this.#known.set(userId, { ttlMs: seconds * 1000, expiresAtMs: found.expiresAtMs });
  }

  async #find(userId: UserId) {
    const document = await this.#parts.documents.find(KIND, userId);
    const newest = document && newestVersion(document.versions, storedIn);
    return newest && { ...newest, expiresAtMs: document.expiresAtMs };
  }
}

function storedIn(content: Uint8Array): StoredLifetime | undefined {
  try {
    const { seconds, version } = JSON.parse(Buffer.from(content).toString('utf8')) as Record<string, unknown>;
    if (!isCount(version) || !(seconds === undefined || isCount(seconds))) return undefined;
    return { seconds, version };
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
