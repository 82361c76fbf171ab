import type { UserId } from '../../domain/identifiers.ts';
import { OneAtATime } from '../../waiting/one-at-a-time.ts';
import type { ClusterDocuments, DocumentKind, FoundDocument } from './cluster-documents.ts';

/** Something that may be said of a user. */
export interface UserValue<T> {
  /** `undefined`: it was never said, was taken away or is over. */
  readonly value: T | undefined;
  /** Of what was written last; 0 where nothing was. */
  readonly version: number;
}

export interface FoundUserValue<T> extends UserValue<T>, Pick<FoundDocument, 'expiresAtMs' | 'writtenAtMs'> {}

export interface UserDocumentParts<T> {
  readonly documents: ClusterDocuments;
  readonly kind: DocumentKind;
  /** Under which the value is kept. */
  readonly field: string;
  /** Whether it is a value: another version of this program may have written something else. */
  readonly isValue: (value: unknown) => value is T;
}

const NOTHING = { value: undefined, version: 0 };
const NONE = new Uint8Array();

/** One value for each user, at all nodes of a cluster: of two that nodes have written while apart, the same one counts at every node. */
export class UserDocument<T> {
  readonly #parts: UserDocumentParts<T>;
  readonly #inTurn = new OneAtATime();

  constructor(parts: UserDocumentParts<T>) {
    this.#parts = parts;
  }

  /** `undefined` where nothing lives that was ever said. Throws what the store throws. */
  async find(userId: UserId): Promise<FoundUserValue<T> | undefined> {
    return (await this.#find(userId))?.found;
  }

  async get(userId: UserId): Promise<UserValue<T>> {
    const { value, version } = (await this.find(userId)) ?? NOTHING;
    return { value, version };
  }

  /** The same in its turn, after what is being written: of two that are read, the one that is used later is not the older. */
  read(userId: UserId, use: (found: FoundUserValue<T> | undefined) => void): Promise<void> {
    return this.#inTurn.run(async () => use(await this.find(userId)));
  }

  /**
   * Writes the next version, with `undefined` one that takes the value away; durable here when it resolves, and on its way to all nodes.
   * `isNews` is told what there is, and whether anything is to be written; what it throws is thrown. Throws `session_deleted` where the
   * user is erased meanwhile, and what the store throws.
   */
  put(
    userId: UserId,
    value: T | undefined,
    isNews: (before: FoundUserValue<T> | undefined) => boolean = () => true,
  ): Promise<UserValue<T>> {
    const { documents, kind, field } = this.#parts;
    const erasure = documents.erasure(kind, userId);
    return this.#inTurn.run(async () => {
      const before = await this.find(userId);
      const { version } = before ?? NOTHING;
      if (!isNews(before)) return { value, version };
      const next = { [field]: value, version: version + 1 };
      await documents.put(kind, userId, Buffer.from(JSON.stringify(next)), { erasure });
      return { value, version: next.version };
    });
  }

  /** Puts what there is once more, which is no news, so that it lives on. Throws as {@link put}. */
  prolong(userId: UserId): Promise<void> {
    const { documents, kind } = this.#parts;
    const erasure = documents.erasure(kind, userId);
    return this.#inTurn.run(async () => {
      const stored = await this.#find(userId);
      if (stored !== undefined) await documents.put(kind, userId, stored.content, { erasure });
    });
  }

  /** Told of each user whose value is written or over, here or elsewhere. */
  onChanged(listener: (userId: UserId) => void): void {
    this.#parts.documents.onChanged(this.#parts.kind, (id) => listener(id as UserId));
  }

  /** Whether anything was ever said of anybody. */
  hasAny(): Promise<boolean> {
    return this.#parts.documents.hasAny(this.#parts.kind);
  }

  /** Every user of whom something was said. */
  async *users(): AsyncGenerator<UserId> {
    for await (const { id } of this.#parts.documents.all(this.#parts.kind)) yield id as UserId;
  }

  async #find(userId: UserId): Promise<{ found: FoundUserValue<T>; content: Uint8Array } | undefined> {
    const document = await this.#parts.documents.find(this.#parts.kind, userId);
    if (document === undefined) return undefined;
    const { versions, expiresAtMs, writtenAtMs } = document;
    let newest: { readonly stored: UserValue<T>; readonly content: Uint8Array } | undefined;
    for (const content of versions) {
      const stored = this.#valueIn(content);
      if (stored === undefined) continue;
      const order = stored.version - (newest?.stored.version ?? 0) || Buffer.compare(content, newest?.content ?? NONE);
      if (order > 0) newest = { stored, content };
    }
    return newest && { found: { ...newest.stored, expiresAtMs, writtenAtMs }, content: newest.content };
  }

  /** `undefined` for what a later version of this program may have written: no turn fails over it. */
  #valueIn(content: Uint8Array): UserValue<T> | undefined {
    const { field, isValue } = this.#parts;
    try {
      const { version, [field]: value } = JSON.parse(Buffer.from(content).toString('utf8')) as Record<string, unknown>;
      if (!Number.isSafeInteger(version) || (version as number) < 1) return undefined;
      if (value !== undefined && !isValue(value)) return undefined;
      return { value, version: version as number };
    } catch {
      return undefined;
    }
  }
}
