import { DiscedgeError } from '../../domain/errors.ts';
import {
  type ContextId,
  type KeygroupId,
  type SessionId,
  type SessionKey,
  sessionKeyText,
  type UserId,
} from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import { withoutErasure } from '../../domain/record/erasure.ts';
import type { Extensions } from '../../domain/record/extensions.ts';
import { type SealedRecord, sealRecord } from '../../domain/record/record-codec.ts';
import { signedLike, unsigned } from '../../domain/record/record-signature.ts';
import { summaryPlaceOf } from '../../domain/record/summary.ts';
import type { StoredMode, TurnRecord } from '../../domain/record/turn-record.ts';
import { withoutUnsureTime } from '../../domain/record/unsure-time.ts';
import { SessionHistory, type Turn } from '../../domain/session/session-history.ts';
import { erasedMeanwhile } from '../documents/cluster-documents.ts';
import type { Mode } from '../modes/mode.ts';
import type { NodeResources } from '../node-resources.ts';
import { sharerOf } from '../turn/running-turns.ts';
import type { ReadTurn } from './sessions.ts';
import { TurnTexts } from './turn-texts.ts';

export interface ImportRequest {
  readonly userId: UserId;
  readonly sessionId: SessionId;
  /** Of one session, each after the turn that it goes on from; where they are of is not asked. */
  readonly turns: readonly Turn[];
  /** `undefined`: as long as it was to live after its last turn. */
  readonly ttlSeconds: number | undefined;
  readonly account?: TurnAccount | undefined;
  /** The user's latest erasure when the session was asked for; left out: when this began. After another one nothing comes back. */
  readonly erasure?: number;
  /** Why a turn, as it is read here, is not what it was said to be; `undefined` where it is. */
  readonly faultOf: (read: ReadTurn) => string | undefined;
}

export interface Imported {
  readonly key: SessionKey;
  readonly mode: StoredMode | undefined;
  /** Turns of all branches. */
  readonly turns: number;
  /** The last turn of the main line: what the next turn goes on from. */
  readonly tip: Turn;
  readonly expiresAtMs: number;
  /** All of it was there before, and perhaps more. */
  readonly replayed: boolean;
}

export interface ImportsParts {
  readonly keygroup: KeygroupId;
  readonly node: NodeResources;
  readonly modes: Readonly<Record<StoredMode, Mode>>;
}

/** Puts sessions that were exported back, with the ids that they had: under new context ids, as records of this node. */
export class Imports {
  readonly #parts: ImportsParts;

  constructor(parts: ImportsParts) {
    this.#parts = parts;
  }

  /**
   * Durable on this node when it resolves. Sent again, after a failure in the middle too, it is completed, or found and told as
   * `replayed`, also where the session has gone on since. Throws `session_exists` where the id is another session's, `session_deleted`,
   * also where the user is erased meanwhile, `quota_exceeded`, `invalid_request` for what is not what it was said to be, and what the LLM
   * Service and the store throw; `turn_cancelled` when the client left before it began.
   */
  async import(request: ImportRequest, gone: AbortSignal): Promise<Imported> {
    const { node, keygroup } = this.#parts;
    const { queue, quotas, records, running } = node;
    const { userId, sessionId, account, erasure = records.erasures.latest(userId) } = request;
    const key: SessionKey = { keygroup, userId, sessionId };
    const turns = request.turns.filter(({ record }) => summaryPlaceOf(record) === undefined);
    await this.#requireAsSaid(turns, request);
    const owner = sharerOf({ gone, account: request.account }, userId);
    return running.run(sessionKeyText(key), owner, (task) =>
      queue.run(sessionKeyText(key), task.stopping, async () => {
        const wasInDoubt = records.isInDoubt(key);
        const { history, deleted, corrupt } = await records.load(key);
        records.requireKnown(key, { wasInDoubt });
        if (deleted) throw new DiscedgeError('session_deleted', 'a session of this id was deleted; choose another id');
        if (corrupt > 0) throw exists();
        if (records.erasures.latest(userId) !== erasure) throw erasedMeanwhile();
        const { sealed, missing } = this.#copies(key, turns, history, request);
        const bytes = missing.reduce((sum, one) => sum + one.bytes.length, 0);
        task.startCommitting();
        if (missing.length > 0) await quotas.holding({ account, key, bytes }, () => records.writeAllSealed(missing));
        const replayed = missing.length === 0;
        return importedOf(key, replayed ? history : historyOf(sealed), { replayed });
      }),
    );
  }

  async #requireAsSaid(turns: readonly Turn[], { faultOf }: ImportRequest): Promise<void> {
    const texts = new TurnTexts(this.#parts.modes);
    for (const turn of turns) {
      const text = await texts.of(turn);
      if (text instanceof DiscedgeError) throw text;
      const fault = faultOf({ turn, text });
      if (fault === undefined) continue;
      throw new DiscedgeError('invalid_request', `turn ${turn.record.turn} is not what its record says: ${fault}`, {
        param: 'turns',
      });
    }
  }

  /** The turns as records of this node, and those of them that are not here. Throws `session_exists` where others are instead. */
  #copies(
    key: SessionKey,
    turns: readonly Turn[],
    there: SessionHistory,
    { ttlSeconds }: ImportRequest,
  ): { readonly sealed: readonly SealedRecord[]; readonly missing: readonly SealedRecord[] } {
    const { environment, options, records } = this.#parts.node;
    const nowMs = environment.clock.now();
    const { nodeId: origin, incarnation } = options;
    const marks = records.marksFor(key).extensions ?? new Map();
    const held = there.allLines();
    const newHash = new Map<ContextId, ContextId>();
    const sealed: SealedRecord[] = [];
    for (const { hash, record } of turns) {
      const parent = record.parent && newHash.get(record.parent);
      const lives = ttlSeconds ?? Math.max(1, (record.expiresAtMs - record.writtenAtMs) / 1000);
      const expiresAtMs = nowMs + Math.round(Math.min(lives, options.ttlSecondsMax) * 1000);
      const writtenAtMs = Math.min(record.writtenAtMs, nowMs);
      const copy = (header: CopyHeader) => copyOf(record, { ...key, ...header, parent });
      // Written by an earlier try, it keeps the life, the marks and the signature that it was given then.
      const again = ({ record: there }: Turn) =>
        sealRecord(signedLike(copy({ ...there, marks: marksOf(there) }), there));
      const before = held.find((turn) => turn.record.turn === record.turn && again(turn).hash === turn.hash);
      const header = { origin, incarnation, writtenAtMs, expiresAtMs, marks };
      const made = before === undefined ? records.seal(copy(header)) : again(before);
      newHash.set(hash, made.hash);
      sealed.push(made);
    }
    const heldHashes = new Set(held.map(({ hash }) => hash));
    const missing = sealed.filter(({ hash }) => !heldHashes.has(hash));
    const made = new Set(sealed.map(({ hash }) => hash));
    // One that is here and has gone on since is no other session.
    if (missing.length > 0 && held.some(({ hash }) => !made.has(hash))) throw exists();
    return { sealed, missing };
  }
}

function historyOf(sealed: readonly SealedRecord[]): SessionHistory {
  const history = new SessionHistory();
  for (const one of sealed) history.add(one);
  return history;
}

function importedOf(key: SessionKey, history: SessionHistory, { replayed }: { readonly replayed: boolean }): Imported {
  const { mode, expiresAtMs } = history;
  return { key, mode, turns: history.allLines().length, tip: history.tip as Turn, expiresAtMs, replayed };
}

interface CopyHeader extends Pick<TurnRecord, 'origin' | 'incarnation' | 'writtenAtMs' | 'expiresAtMs'> {
  readonly marks: Extensions;
}

/** What the turn was, as a record that is written here and now; it says when it was said. */
function copyOf(
  exported: TurnRecord,
  place: SessionKey & CopyHeader & { readonly parent: ContextId | undefined },
): TurnRecord {
  const { keygroup, userId, sessionId, origin, incarnation, writtenAtMs, expiresAtMs, parent, marks } = place;
  const { extensions: own = NONE, ...record } = unsigned(exported);
  const extensions = new Map([...withoutMarks(own), ...marks]);
  const header = { keygroup, userId, sessionId, origin, incarnation, writtenAtMs, expiresAtMs, parent };
  return { ...record, ...header, ...(extensions.size > 0 && { extensions }) };
}

/** What a record says of when and by whom it was written, and not of the turn. */
function marksOf({ extensions = NONE }: TurnRecord): Extensions {
  const own = withoutMarks(extensions);
  return new Map([...extensions].filter(([name]) => !own.has(name)));
}

function withoutMarks(extensions: Extensions): Extensions {
  return withoutErasure(withoutUnsureTime(extensions));
}

const NONE: Extensions = new Map();

function exists(): DiscedgeError {
  return new DiscedgeError('session_exists', 'there is another session of this id; import it under another one');
}
