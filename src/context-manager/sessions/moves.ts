import { DiscedgeError } from '../../domain/errors.ts';
import {
  type KeygroupId,
  type RequestDigest,
  type SessionId,
  type SessionKey,
  sessionKeyText,
  type TurnNumber,
  type UserId,
} from '../../domain/identifiers.ts';
import type { TurnAccount } from '../../domain/principals/turn-account.ts';
import { movedFromExtension, movedFromOf } from '../../domain/record/moved-from.ts';
import type { StoredMode } from '../../domain/record/turn-record.ts';
import type { SessionHistory, Turn } from '../../domain/session/session-history.ts';
import type { ChatTemplate } from '../../llm-service/chat-template.ts';
import { callsIn } from '../modes/known-calls.ts';
import type { AddedItems, AddRequest } from '../turn/added-items.ts';
import { OWN_REQUEST } from '../turn/own-request.ts';
import { digestOf } from '../turn/request-digest.ts';
import type { RunningTurn } from '../turn/running-turn.ts';
import { type ToldTurnParts, writeToldTurn } from '../turn/told-turn.ts';
import type { TurnRequest } from '../turn/turn.ts';
import type { OpenPass } from '../turn/turn-gate.ts';
import type { WordedSession, WordedTurn } from './worded-session.ts';

/** A session of another model's that is to go on with this one. */
export interface MoveRequest {
  readonly userId: UserId;
  /** `undefined`: a new one. */
  readonly newSessionId: SessionId | undefined;
  readonly mode: StoredMode;
  readonly worded: WordedSession;
  /** `undefined`: the node's default. */
  readonly ttlSeconds: number | undefined;
  readonly account: TurnAccount | undefined;
}

export interface Move {
  readonly key: SessionKey;
  readonly mode: StoredMode;
  readonly turn: TurnNumber;
  /** Of the last turn. */
  readonly contextId: Turn['hash'];
  readonly expiresAtMs: number;
  /** Turns at the beginning that this model's window does not hold. */
  readonly droppedTurns: number;
  /** It was made before, by the same request. */
  readonly replayed: boolean;
}

export interface MovesParts extends ToldTurnParts {
  readonly keygroup: KeygroupId;
  readonly template: Pick<ChatTemplate, 'calls'>;
  readonly add: (request: AddRequest, gone: AbortSignal) => Promise<AddedItems>;
}

/** Writes sessions of other models anew, in this model's ids and under its chat template. */
export class Moves {
  readonly #parts: MovesParts;

  constructor(parts: MovesParts) {
    this.#parts = parts;
  }

  /**
   * Durable on this node when it resolves. Turns that do not fit into this model's window are left out of the context, and kept. Sent
   * again under the same `newSessionId`, after a failure in the middle too, it is completed, or found and told as `replayed`. Throws
   * `session_exists`, `session_deleted`, `invalid_request` for a session in which nothing was answered and what the chat template
   * refuses, `context_overflow` for a turn that is too long by itself, `quota_exceeded`, and what the store throws.
   */
  async move(request: MoveRequest, gone: AbortSignal): Promise<Move> {
    const { keygroup, node, add } = this.#parts;
    const { userId, worded, account } = request;
    const sessionId = request.newSessionId ?? (node.environment.random.uuid() as SessionId);
    const key: SessionKey = { keygroup, userId, sessionId };
    const keyText = sessionKeyText(key);
    if (worded.turns.length === 0)
      throw new DiscedgeError('invalid_request', 'nothing has been answered in the session to move');
    if (this.#parts.template.calls === undefined) refuseCalls(worded);
    const written = await node.running.run(keyText, { gone, account, userId }, (task) =>
      node.queue.run(keyText, task.stopping, () => this.#write(key, request, task)),
    );
    if (worded.open.length === 0) return written;
    const { turn, contextId } = written;
    const place = { turn: (turn + 1) as TurnNumber, contextId };
    const open = { userId, sessionId, place, messages: worded.open, ttlSeconds: undefined, maxWaitMs: 0, account };
    const { stored, replayed } = await add(open, gone);
    return { ...written, turn: stored.record.turn, contextId: stored.hash, replayed: written.replayed && replayed };
  }

  async #write(key: SessionKey, request: MoveRequest, task: RunningTurn): Promise<Move> {
    const { node } = this.#parts;
    const { records, quotas } = node;
    const { mode, worded } = request;
    const wasInDoubt = records.isInDoubt(key);
    const session = await records.load(key);
    records.requireKnown(key, { wasInDoubt });
    const held = session.deleted ? refuseDeleted() : heldOf(session.history, worded);
    return quotas.holding({ account: request.account, key }, async () => {
      task.startCommitting();
      const start = { session, base: held.at(-1), answered: undefined };
      let pass: OpenPass = { ...start, digest: NO_DIGEST, waitedMs: 0, retries: 0 };
      for (const turn of worded.turns.slice(held.length)) {
        const told = { ...toldOf(turn), request: requestOf(turn, pass, request), reply: turn.reply };
        pass = await writeToldTurn(told, pass, this.#parts);
      }
      const { hash: contextId, record } = pass.base as Turn;
      return {
        ...{ key, mode, contextId, turn: record.turn },
        expiresAtMs: pass.session.history.expiresAtMs,
        droppedTurns: record.contextStart - 1,
        replayed: held.length === worded.turns.length,
      };
    });
  }
}

function refuseCalls({ turns, open }: WordedSession): void {
  const messages = [...turns.flatMap((turn) => turn.messages), ...open];
  if (messages.every(({ content }) => callsIn(content).length === 0)) return;
  const message = "the session calls tools, and that model's chat template knows no calls";
  throw new DiscedgeError('invalid_request', message, { param: 'model' });
}

/** The turns of the move that are there already. */
function heldOf(history: SessionHistory, { turns, open }: WordedSession): readonly Turn[] {
  const line = history.line();
  const isOpen = open.length > 0 && line.at(-1)?.record.payload.mode === 'items';
  const held = isOpen ? line.slice(0, -1) : line;
  const isThisMove = held.every(({ record }, index) => {
    const { source } = turns[index] ?? {};
    return source !== undefined && movedFromOf(record)?.contextId === source.hash;
  });
  if (!isThisMove || history.tips().length > 1) throw exists();
  return held;
}

function toldOf({ source: { hash: contextId, record } }: WordedTurn) {
  const digest = digestOf(`move of ${contextId}`);
  return { digest, from: movedFromExtension({ keygroup: record.keygroup, contextId }), source: record };
}

function requestOf(
  { messages, preamble }: WordedTurn,
  { base, session }: Pick<OpenPass, 'base' | 'session'>,
  { mode, ttlSeconds }: MoveRequest,
): TurnRequest {
  const place = base && { turn: (base.record.turn + 1) as TurnNumber, contextId: base.hash };
  return {
    ...OWN_REQUEST,
    overflow: 'drop-oldest',
    userId: session.key.userId,
    sessionId: session.key.sessionId,
    place: place ?? { opens: true },
    ...{ mode, messages, ttlSeconds, ...(preamble && { preamble }) },
  };
}

const NO_DIGEST = '' as RequestDigest;

function refuseDeleted(): never {
  throw new DiscedgeError('session_deleted', 'a session with that id was deleted; choose another id', {
    param: 'session_id',
  });
}

function exists(): DiscedgeError {
  return new DiscedgeError('session_exists', 'the id is that of another session; choose another id', {
    param: 'session_id',
  });
}
