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
import type { Extensions } from '../../domain/record/extensions.ts';
import type { Message, TurnRecord } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import type { TurnPlace } from '../../domain/session/turn-decision.ts';
import type { ChatTemplate } from '../../llm-service/chat-template.ts';
import type { EnteredPass } from '../arbitration/arbitration.ts';
import { callNotFound, callsIn, KnownCalls } from '../modes/known-calls.ts';
import type { NodeResources } from '../node-resources.ts';
import { keptTtlMs, livesUntilMs, ttlMs } from '../sessions/session-life.ts';
import { atTip, digestOf } from './request-digest.ts';
import { refuseLateSystem } from './request-rules.ts';
import type { RunningTurn } from './running-turn.ts';
import { sharerOf } from './running-turns.ts';
import type { TurnRequest } from './turn.ts';
import type { GateRequest, OpenPass, TurnGate } from './turn-gate.ts';
import { whileStored } from './while-stored.ts';

/** Messages that are to be added to a session without a generation, and what is to be noted with them. */
export interface AddRequest {
  readonly userId: UserId;
  /** `undefined` opens a session under a new id. */
  readonly sessionId: SessionId | undefined;
  readonly place: TurnPlace;
  readonly messages: readonly Message[];
  readonly extensions?: Extensions;
  /** `undefined` keeps the session's, or the node's default. */
  readonly ttlSeconds: number | undefined;
  readonly maxWaitMs: number;
  /** How the turn that reads them will be asked for; absent: it makes room for them as well as it can. */
  readonly readBy?: Pick<TurnRequest, 'overflow' | 'maxTokens'>;
  /** To whom what is said is counted; `undefined` for notes, which are kept whatever there is. */
  readonly account?: TurnAccount | undefined;
}

export interface AddedItems {
  readonly key: SessionKey;
  readonly stored: Turn;
  /** Found done, by the same request. */
  readonly replayed: boolean;
}

/** That wait to be read by the next turn; as many as a conversation that a client sends whole may have. */
const WAITING_MESSAGES_MAX = 16_384;

export interface AddedItemsWriterParts {
  readonly keygroup: KeygroupId;
  readonly node: NodeResources;
  readonly gate: TurnGate;
  readonly template: Pick<ChatTemplate, 'calls'>;
  /** Throws `context_overflow` where no turn that reads the messages would fit. */
  readonly requireRoom: (request: AddRequest, pass: OpenPass) => Promise<void>;
}

/** Writes messages that have a place in a session of their own, as a turn has, and no reply. */
export class AddedItemsWriter {
  readonly #parts: AddedItemsWriterParts;

  constructor(parts: AddedItemsWriterParts) {
    this.#parts = parts;
  }

  /**
   * Durable on this node when it resolves. They wait their turn, and their place is one node's, as a turn's is. Throws what
   * the turn gate, arbitration and the store throw; `invalid_request` for what no record holds, a result of no
   * call, a call under a template that knows none, and more messages than the next turn may read; `context_overflow` for what
   * does not fit into the window with what was added before.
   */
  add(request: AddRequest, gone: AbortSignal): Promise<AddedItems> {
    const { keygroup, node } = this.#parts;
    const { userId, sessionId = node.environment.random.uuid() as SessionId } = request;
    const key: SessionKey = { keygroup, userId, sessionId };
    const keyText = sessionKeyText(key);
    const owner = sharerOf({ gone, account: request.account }, userId);
    return node.running.run(keyText, owner, (task) =>
      node.queue.run(keyText, task.stopping, () => this.#addQueued(key, request, task)),
    );
  }

  async #addQueued(key: SessionKey, request: AddRequest, task: RunningTurn): Promise<AddedItems> {
    const { node, gate, template, requireRoom } = this.#parts;
    const { arbitration, records } = node;
    const claim = claimOf(request);
    const wasInDoubt = records.isInDoubt(key);
    const entering = { key, request: claim, isNew: request.sessionId === undefined };
    const pass = await arbitration.enter(entering, task.waiting, () => gate.pass(key, claim, task.waiting));
    if (pass.answered !== undefined) return { key, stored: pass.answered, replayed: true };
    return whileStored({ key, pass, wasInDoubt, account: request.account }, node, async () => {
      // Every turn after it would be refused.
      refuseLateSystem(request, pass.session.history.lastAnswered(pass.base));
      if (template.calls === undefined) refuseCalls(request.messages);
      requireCalls(request.messages, pass);
      if (request.messages.length > 0) {
        refuseTooMany(request, pass);
        await requireRoom(request, pass);
      }
      const record = this.#sealed(this.#recordOf(key, request, pass));
      task.startCommitting();
      await records.writeSealed(record);
      return { key, stored: { hash: record.hash, record: record.record as TurnRecord }, replayed: false };
    });
  }

  #sealed(record: TurnRecord) {
    try {
      return this.#parts.node.records.seal(record);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new DiscedgeError('invalid_request', `this cannot be stored: ${error.message}`);
    }
  }

  #recordOf(key: SessionKey, request: AddRequest, { base, digest, session }: EnteredPass): TurnRecord {
    const { environment, options, records, userLifetimes } = this.#parts.node;
    const writtenAtMs = environment.clock.now();
    const lives = { writtenAtMs, ttlMs: ttlMs(request, userLifetimes.ttlMs(key.userId) ?? keptTtlMs(base, options)) };
    const marks = records.marksFor(key, base?.record).extensions ?? [];
    const extensions = new Map([...(request.extensions ?? []), ...marks]);
    return {
      kind: 'turn',
      ...key,
      origin: options.nodeId,
      incarnation: options.incarnation,
      writtenAtMs,
      expiresAtMs: livesUntilMs(session.history, lives, options),
      turn: ((base?.record.turn ?? 0) + 1) as TurnNumber,
      parent: base?.hash,
      requestDigest: digest,
      contextStart: base?.record.contextStart ?? (1 as TurnNumber),
      stop: { kind: 'end' },
      sampling: { temperature: undefined, seed: undefined, maxTokens: undefined },
      payload: { mode: 'items', messages: request.messages },
      ...(extensions.size > 0 && { extensions }),
    };
  }
}

/** The request with what was added since the last turn that was answered: now it is read, and becomes part of this one. */
export function withAdded(request: TurnRequest, added: readonly Turn[]): TurnRequest {
  const messages = added.flatMap(({ record: { payload } }) => (payload.mode === 'items' ? payload.messages : []));
  return messages.length === 0 ? request : { ...request, messages: [...messages, ...request.messages] };
}

function refuseTooMany({ messages }: AddRequest, { base, session }: Pick<OpenPass, 'base' | 'session'>): void {
  const waiting = session.history.addedUpTo(base).reduce((sum, { record: { payload } }) => {
    return sum + (payload.mode === 'items' ? payload.messages.length : 0);
  }, messages.length);
  if (waiting <= WAITING_MESSAGES_MAX) return;
  const message = `${waiting} messages would wait for the next turn, which reads up to ${WAITING_MESSAGES_MAX}: have it answer first`;
  throw new DiscedgeError('invalid_request', message, { param: 'messages' });
}

function refuseCalls(messages: readonly Message[]): void {
  if (messages.every(({ content }) => callsIn(content).length === 0)) return;
  const message = "the model's chat template knows no calls of tools";
  throw new DiscedgeError('invalid_request', message, { param: 'messages' });
}

/** A result of no call, once it is kept, would have every later turn refused. Looks back no further than the calls are. */
function requireCalls(messages: readonly Message[], { base, session }: Pick<OpenPass, 'base' | 'session'>): void {
  const known = new KnownCalls();
  const missing = new Set<string>();
  for (const { content } of messages) {
    known.add(callsIn(content));
    for (const part of typeof content === 'string' ? [] : content)
      if (part.type === 'tool-result' && known.find(part.callId) === undefined) missing.add(part.callId);
  }
  const before = new KnownCalls();
  for (let turn: Turn | undefined = base; turn !== undefined && missing.size > 0; ) {
    const { payload, parent } = turn.record;
    if (payload.mode === 'items') for (const { content } of payload.messages) before.add(callsIn(content));
    else before.addTurn({ payload });
    for (const callId of missing) if (before.find(callId) !== undefined) missing.delete(callId);
    turn = parent === undefined ? undefined : session.history.get(parent);
  }
  const [callId] = missing;
  if (callId !== undefined) throw callNotFound(callId);
}

function claimOf(request: AddRequest): GateRequest {
  const { place, maxWaitMs } = request;
  return { place, maxWaitMs, mode: undefined, consistency: 'strong', digestAs: (turn) => digest(request, turn) };
}

/** What was added, and where; never what a turn is stored under. */
function digest({ place, messages, extensions }: AddRequest, turn: TurnNumber | undefined): RequestDigest {
  const noted = [...(extensions ?? [])].map(([name, value]) => [name, Buffer.from(value).toString('hex')]);
  const decisive = ['added', turn ?? atTip(place), messages, noted];
  return digestOf(JSON.stringify(decisive));
}
