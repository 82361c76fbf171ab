import { createHash } from 'node:crypto';
import { DOCUMENTS_KEYGROUP, ownerOf } from '../../domain/cluster/documents.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { RequestDigest, SessionId, SessionKey, TurnNumber, UserId } from '../../domain/identifiers.ts';
import { EXTENSION_BYTES_MAX } from '../../domain/record/extensions.ts';
import type { SessionRecord, TurnRecord } from '../../domain/record/turn-record.ts';
import type { SessionHistory } from '../../domain/session/session-history.ts';
import type { Environment } from '../../environment/environment.ts';
import type { NodeOptions } from '../node-options.ts';
import type { SessionRecords } from '../sessions/session-records.ts';

/** One kind of document, whose versions make sense in whatever order, and from whichever node, they come. */
export type DocumentKind = 'api-key' | 'erasure-receipt' | 'user-lifetime' | 'user-preferences';

/** Leaves room for what else a record carries. */
export const DOCUMENT_BYTES_MAX = EXTENSION_BYTES_MAX - 1024;
const PAGE_DOCUMENTS = 100;
const EXTENSION = 'discedge.document';

export interface ClusterDocumentsParts {
  readonly records: SessionRecords;
  readonly options: Pick<NodeOptions, 'nodeId' | 'incarnation' | 'ttlSecondsMax'>;
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
}

export interface PutOptions {
  /** How long it lives; left out: as long as any session may. */
  readonly livesMs?: number;
  /** The latest {@link ClusterDocuments.erasure} when the content was read, or came; left out: now. */
  readonly erasure?: number;
}

export interface ClusterDocument {
  readonly id: string;
  readonly versions: readonly Uint8Array[];
  readonly expiresAtMs: number;
}

export interface FoundDocument extends Omit<ClusterDocument, 'id'> {
  readonly writtenAtMs: readonly number[];
}

/**
 * Small things that all nodes of a cluster have to know, whatever models they serve. Each is a session in a keygroup of its own,
 * each version of it a record there: they are durable, travel, are fetched and caught up with as conversations are.
 */
export class ClusterDocuments {
  readonly #parts: ClusterDocumentsParts;

  constructor(parts: ClusterDocumentsParts) {
    this.#parts = parts;
  }

  /**
   * Adds a version; durable here when it resolves. It lives for `livesMs`, unless it is put again. Throws RangeError for more than
   * {@link DOCUMENT_BYTES_MAX}, `session_deleted` where the user that it is about has been erased after `erasure`, and what the
   * store throws.
   */
  async put(kind: DocumentKind, id: string, content: Uint8Array, options: PutOptions = {}): Promise<void> {
    const { livesMs = this.#parts.options.ttlSecondsMax * 1000, erasure = this.erasure(kind, id) } = options;
    if (content.length > DOCUMENT_BYTES_MAX) throw new RangeError(`a document of ${content.length} bytes`);
    const { records, environment } = this.#parts;
    const { nodeId, incarnation } = this.#parts.options;
    const key = keyOf(kind, id);
    const { history, deleted } = await records.load(key);
    if (deleted) throw new DiscedgeError('session_deleted', `the ${kind} ${id} has been deleted`);
    if (this.erasure(kind, id) !== erasure) throw erasedMeanwhile();
    const before = history.line().at(-1);
    const turn = ((before?.record.turn ?? 0) + 1) as TurnNumber;
    const writtenAtMs = environment.clock.now();
    await records.write({
      kind: 'turn',
      ...key,
      origin: nodeId,
      incarnation,
      writtenAtMs,
      expiresAtMs: writtenAtMs + livesMs,
      turn,
      parent: before?.hash,
      requestDigest: digestOf(content, turn),
      contextStart: 1 as TurnNumber,
      stop: { kind: 'end' },
      sampling: { temperature: undefined, seed: undefined, maxTokens: undefined },
      payload: { mode: 'items', messages: [] },
      extensions: new Map([[EXTENSION, content], ...(records.marksFor(key, before?.record).extensions ?? [])]),
    });
  }

  /** Which erasure is the latest here of the user that a document is about; 0: none, or it is about no user. */
  erasure(kind: DocumentKind, id: string): number {
    const userId = ownerOf(keyOf(kind, id));
    return userId === undefined ? 0 : this.#parts.records.erasures.latest(userId);
  }

  /** All versions of a document that are here; none where there is no such document. */
  async versions(kind: DocumentKind, id: string): Promise<readonly Uint8Array[]> {
    return versionsOf((await this.#parts.records.load(keyOf(kind, id))).history);
  }

  /** One document, with all its versions here, and when each was written; `undefined` where there is none that lives. */
  async find(kind: DocumentKind, id: string): Promise<FoundDocument | undefined> {
    const { records } = this.#parts;
    const { history } = await records.load(keyOf(kind, id));
    const versions = versionsOf(history);
    if (versions.length === 0) return undefined;
    const writtenAtMs = history.allLines().map(({ record }) => record.writtenAtMs);
    return { versions, writtenAtMs, expiresAtMs: history.expiresAtMs };
  }

  /** Whether there is any document of a kind here. */
  async hasAny(kind: DocumentKind): Promise<boolean> {
    for await (const _ of this.all(kind)) return true;
    return false;
  }

  /** Every document of a kind, with all its versions here, and until when they live. */
  async *all(kind: DocumentKind): AsyncGenerator<ClusterDocument> {
    const { records } = this.#parts;
    let after: SessionKey | undefined;
    do {
      const page = await records.keys({
        keygroup: DOCUMENTS_KEYGROUP,
        userId: userOf(kind),
        after,
        limit: PAGE_DOCUMENTS,
      });
      for (const key of page.keys) {
        const { history } = await records.load(key);
        yield { id: key.sessionId, versions: versionsOf(history), expiresAtMs: history.expiresAtMs };
      }
      after = page.next;
    } while (after !== undefined);
  }

  /** Told of each document that is written or removed here or elsewhere, once it is so here. Returns what ends it. */
  onChanged(kind: DocumentKind, listener: (id: string) => void): () => void {
    const { records } = this.#parts;
    const tell = ({ keygroup, userId, sessionId }: SessionKey) => {
      if (keygroup === DOCUMENTS_KEYGROUP && userId === userOf(kind)) listener(sessionId);
    };
    const ends = [records.onRecord(({ record }) => tell(record)), records.onRemoved(tell)];
    return () => {
      for (const end of ends) end();
    };
  }

  /** Told of every version that another node has written, once it is here. Returns what ends it. */
  onArrived(kind: DocumentKind, listener: (id: string, content: Uint8Array) => void): () => void {
    return this.#parts.records.onRecord(({ record }, from) => {
      if (from === 'here' || record.keygroup !== DOCUMENTS_KEYGROUP || record.userId !== userOf(kind)) return;
      const content = contentOf(record);
      if (content !== undefined) listener(record.sessionId, content);
    });
  }
}

function keyOf(kind: DocumentKind, id: string): SessionKey {
  return { keygroup: DOCUMENTS_KEYGROUP, userId: userOf(kind), sessionId: id as SessionId };
}

function userOf(kind: DocumentKind): UserId {
  return kind as string as UserId;
}

/** Of all branches: what was written on either side of a cut is a version like any other. */
function versionsOf(history: SessionHistory): Uint8Array[] {
  return history.allLines().flatMap(({ record }) => contentOf(record) ?? []);
}

function contentOf(record: SessionRecord): Uint8Array | undefined {
  return record.kind === 'turn' ? (record as TurnRecord).extensions?.get(EXTENSION) : undefined;
}

function digestOf(content: Uint8Array, turn: TurnNumber): RequestDigest {
  return createHash('sha256').update(`${turn}\n`).update(content).digest('hex').slice(0, 16) as RequestDigest;
}

export function erasedMeanwhile(): DiscedgeError {
  return new DiscedgeError('session_deleted', 'everything of this user was erased meanwhile');
}
