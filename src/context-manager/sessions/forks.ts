import { DiscedgeError } from '../../domain/errors.ts';
import {
  type ContextId,
  type KeygroupId,
  type SessionId,
  type SessionKey,
  sessionKeyText,
  type TurnNumber,
  type UserId,
} from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import type { Extensions } from '../../domain/record/extensions.ts';
import { type SealedRecord, sealRecord } from '../../domain/record/record-codec.ts';
import { signedLike, unsigned } from '../../domain/record/record-signature.ts';
import type { StoredMode, TurnRecord } from '../../domain/record/turn-record.ts';
import { isAnswered, type SessionHistory, type Turn } from '../../domain/session/session-history.ts';
import type { StopSign } from '../../waiting/stop.ts';
import type { NodeResources } from '../node-resources.ts';
import { sharerOf } from '../turn/running-turns.ts';
import { STALE_RETRY_MS } from '../turn/turn-gate.ts';
import type { CachedSession } from './session-cache.ts';

export interface ForkRequest {
  readonly userId: UserId;
  readonly sessionId: SessionId;
  /** The last turn that the fork shares; `undefined`: the one that `contextId` names. */
  readonly turn: TurnNumber | undefined;
  /** Any turn of the branch that is meant, at or after `turn`; `undefined`: the main line. */
  readonly contextId: ContextId | undefined;
  /** `undefined`: a new one. */
  readonly newSessionId: SessionId | undefined;
  /** `undefined`: the node's default; a fork does not inherit its source's. */
  readonly ttlSeconds: number | undefined;
  /** How long to wait for that turn to arrive from another node. */
  readonly maxWaitMs: number;
  /** To whom the new session is counted. */
  readonly account?: TurnAccount | undefined;
}

export interface Fork {
  readonly key: SessionKey;
  readonly mode: StoredMode;
  readonly turn: TurnNumber;
  /** Of the fork's last turn. */
  readonly contextId: ContextId;
  readonly expiresAtMs: number;
  readonly source: { readonly sessionId: SessionId; readonly turn: TurnNumber; readonly contextId: ContextId };
  /** It was made before, by the same request. */
  readonly replayed: boolean;
}

export interface ForksParts {
  readonly keygroup: KeygroupId;
  readonly node: NodeResources;
}

type CopyHeader = Pick<TurnRecord, 'origin' | 'incarnation' | 'writtenAtMs' | 'expiresAtMs'>;

/**
 * Forks on purpose: a new session whose first turns are copies of another's. Copies, not references, so that deleting,
 * expiring or evicting either session leaves the other whole (docs/divergence.md).
 */
export class Forks {
  readonly #parts: ForksParts;

  constructor(parts: ForksParts) {
    this.#parts = parts;
  }

  /**
   * The fork is durable on this node when it resolves. Sent again under the same `newSessionId`, after a failure in the
   * middle too, it is completed, or found and told as `replayed`. Throws `session_exists`, `session_not_found`,
   * `session_deleted`, `context_stale`, `context_corrupt`, `quota_exceeded`, `invalid_request` for a turn that is not there, and what the
   * store throws; `turn_cancelled` when the client left before the copying began.
   */
  async fork(request: ForkRequest, gone: AbortSignal): Promise<Fork> {
    const { keygroup } = this.#parts;
    const { environment, queue, quotas, running } = this.#parts.node;
    const { userId } = request;
    const source: SessionKey = { keygroup, userId, sessionId: request.sessionId };
    const sessionId = request.newSessionId ?? (environment.random.uuid() as SessionId);
    const key: SessionKey = { keygroup, userId, sessionId };
    if (sessionId === request.sessionId) throw exists();
    const owner = sharerOf({ gone, account: request.account }, userId);
    return running.run(sessionKeyText(key), owner, async (task) => {
      // One after the other, never both at once: two forks into each other's source must not wait for each other.
      const line = await queue.run(sessionKeyText(source), task.stopping, () =>
        this.#line(source, request, task.stopping),
      );
      return queue.run(sessionKeyText(key), task.stopping, async () => {
        const held = await this.#held(key);
        return quotas.holding({ account: request.account, key }, () => {
          task.startCommitting();
          return this.#copy(line, key, held, request);
        });
      });
    });
  }

  /** Turns 1 to the one asked for, of the branch asked for. */
  async #line(source: SessionKey, request: ForkRequest, stop: StopSign): Promise<readonly Turn[]> {
    const { replica } = this.#parts.node;
    const { session, seen: last } = await replica.until(
      source,
      { maxWaitMs: request.maxWaitMs, stop },
      (session) => {
        if (session.deleted) throw new DiscedgeError('session_deleted', 'the session to fork was deleted');
        return lastTurnOf(session.history, request);
      },
      (turn) => (turn === undefined ? 'arrival' : undefined),
    );
    if (last === undefined) throw missing(session, request, replica.isAlone);
    return session.history.line(last);
  }

  /** What is there under the fork's id, oldest turn first. */
  async #held(key: SessionKey): Promise<readonly Turn[]> {
    const { records } = this.#parts.node;
    const wasInDoubt = records.isInDoubt(key);
    const { history, deleted, corrupt } = await records.load(key);
    records.requireKnown(key, { wasInDoubt });
    if (deleted) {
      throw new DiscedgeError('session_deleted', 'a session with the id for the fork was deleted; choose another id', {
        param: 'session_id',
      });
    }
    if (corrupt > 0 || history.tips().length > 1) throw exists();
    return history.line();
  }

  async #copy(
    line: readonly Turn[],
    key: SessionKey,
    held: readonly Turn[],
    { ttlSeconds }: ForkRequest,
  ): Promise<Fork> {
    const { environment, options, records } = this.#parts.node;
    if (held.length > line.length) throw exists();
    const mode = modeOf(line);
    const writtenAtMs = environment.clock.now();
    const ttlMs = Math.min(ttlSeconds ?? options.ttlSeconds, options.ttlSecondsMax) * 1000;
    const { nodeId: origin, incarnation } = options;
    const header = { origin, incarnation, writtenAtMs, expiresAtMs: writtenAtMs + ttlMs };
    const copies: SealedRecord[] = [];
    for (const [index, turn] of line.entries()) {
      const there = held[index];
      const bare = copyOf(turn, key, copies.at(-1)?.hash, there?.record ?? header);
      const copied = index === 0 ? { ...bare, extensions: withForkTurns(bare.extensions, line.length) } : bare;
      const copy = there === undefined ? records.seal(copied) : sealRecord(signedLike(copied, there.record));
      if (there !== undefined && there.hash !== copy.hash) throw exists();
      copies.push(copy);
    }
    await records.writeAllSealed(copies.slice(held.length));
    const [sourceTip, tip] = [line.at(-1) as Turn, copies.at(-1) as SealedRecord];
    return {
      key,
      mode,
      turn: sourceTip.record.turn,
      contextId: tip.hash,
      expiresAtMs: tip.record.expiresAtMs,
      source: { sessionId: sourceTip.record.sessionId, turn: sourceTip.record.turn, contextId: sourceTip.hash },
      replayed: held.length === line.length,
    };
  }
}

/** Throws `invalid_request` where nothing has been answered: there is no way yet in which it is kept. */
function modeOf(line: readonly Turn[]): StoredMode {
  const answered = line.findLast(isAnswered);
  if (answered !== undefined) return answered.record.payload.mode;
  throw new DiscedgeError('invalid_request', 'nothing has been answered in the session to fork', { param: 'turn' });
}

/**
 * Of how many turns the fork is. Its first turn says so: a fork that was not finished is told from one that is whole and was
 * of fewer turns, which the same id must not make longer.
 */
const FORK_TURNS = 'discedge.fork-turns';

function withForkTurns(extensions: Extensions | undefined, turns: number): Extensions {
  return new Map([...(extensions ?? []), [FORK_TURNS, new TextEncoder().encode(String(turns))]]);
}

/** What the turn was, in another session; `header` says who wrote it when. */
function copyOf({ record }: Turn, key: SessionKey, parent: ContextId | undefined, header: CopyHeader): TurnRecord {
  const { origin, incarnation, writtenAtMs, expiresAtMs } = header;
  return { ...unsigned(record), ...key, parent, origin, incarnation, writtenAtMs, expiresAtMs };
}

/** Throws `invalid_request` when the branch named ends before the turn named. */
function lastTurnOf(history: SessionHistory, { turn, contextId }: ForkRequest): Turn | undefined {
  if (contextId === undefined) return turn === undefined ? undefined : history.onMainLine(turn);
  const named = history.standingFor(contextId);
  if (named === undefined || turn === undefined) return named;
  if (turn <= named.record.turn) return history.line(named)[turn - 1];
  throw new DiscedgeError(
    'invalid_request',
    `context_id names turn ${named.record.turn}, so there is no turn ${turn} before it`,
    { param: 'turn' },
  );
}

function missing(
  { history, corrupt }: CachedSession,
  { turn, contextId }: ForkRequest,
  isAlone: boolean,
): DiscedgeError {
  if (history.size === 0 && corrupt === 0) {
    return new DiscedgeError('session_not_found', 'no such session', { param: 'session_id' });
  }
  const what = contextId === undefined ? `turn ${turn}` : 'the context_id';
  const holds = `the session has ${history.tip?.record.turn ?? 0} turn(s) here, and not ${what}`;
  if (corrupt > 0) return new DiscedgeError('context_corrupt', `${holds}; ${corrupt} of its records are damaged`);
  const param = contextId === undefined ? 'turn' : 'context_id';
  if (isAlone) return new DiscedgeError('invalid_request', holds, { param });
  return new DiscedgeError('context_stale', `${holds}; ask again, or another node`, {
    param,
    retryAfterMs: STALE_RETRY_MS,
  });
}

function exists(): DiscedgeError {
  return new DiscedgeError('session_exists', 'the id for the fork is that of another session; choose another id', {
    param: 'session_id',
  });
}
