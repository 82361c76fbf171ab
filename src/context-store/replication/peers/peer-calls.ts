import { MalformedBytes } from '../../../domain/bytes.ts';
import type { NodeId, SessionKey } from '../../../domain/identifiers.ts';
import type { PeerClock } from '../../../domain/time/node-time.ts';
import type { Clock } from '../../../environment/environment.ts';
import type { AnswerQuestion } from '../../answers-elsewhere.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { TurnAttempt } from '../../turn-arbitration.ts';
import type { AnsweringPeer } from './answer-questions.ts';
import { decodePage, decodeRecords } from './log-answers.ts';
import { PeerDelay } from './peer-delay.ts';
import { encodeMessage, type Hello, type HelloReply, type PeerRequest, parseMessage } from './peer-protocol.ts';
import { decodeSessionPage } from './session-page.ts';
import type { AskedPeer } from './turn-questions.ts';
import { type CarriedVerdict, decodeVerdict } from './turn-verdict.ts';

const ANSWER_WAIT_MS = 5_000;

/** What carries questions to a peer, as long as there is one. */
export interface PeerChannel {
  /** Throws when no answer comes within that time. */
  request(data: Uint8Array, waitMs: number): Promise<Uint8Array>;
  /** Lost where it cannot be carried; throws nothing. */
  send(data: Uint8Array): void;
  /** How long a message takes to the peer's end and back, in milliseconds. Throws when that cannot be told. */
  roundTripMs(): Promise<number>;
}

/** What this node asks and tells one peer, over whichever channel there is at the time. */
export class PeerCalls implements AskedPeer, AnsweringPeer {
  readonly nodeId: NodeId;
  readonly #clock: Clock;
  readonly #delay = new PeerDelay();
  #channel: PeerChannel | undefined;
  #peerClock: PeerClock | undefined;
  #signs = false;

  constructor(nodeId: NodeId, clock: Clock) {
    this.nodeId = nodeId;
    this.#clock = clock;
  }

  /** The peer's time of day, as its last answer that held it told. */
  get clock(): PeerClock | undefined {
    return this.#peerClock;
  }

  /** The channel from now on; `undefined` when there is none, and then whatever is asked fails. */
  use(channel: PeerChannel | undefined): void {
    this.#channel = channel;
    channel?.roundTripMs().then(
      (ms) => this.#delay.note(ms),
      () => {},
    );
  }

  get delayMs(): number {
    return this.#delay.mostMs;
  }

  /** Throws when the peer does not answer, or not as a node does. */
  async hello(hello: Hello): Promise<HelloReply> {
    const reply = await this.#askNode(hello);
    if (reply === undefined) throw new Error('its answer is not that of a node');
    return reply;
  }

  /** Whether the peer answers under this instance; `false` when it does not answer at all. */
  async answersAs(instance: string, waitMs = ANSWER_WAIT_MS): Promise<boolean> {
    const answer = await this.#askNode({ kind: 'who' }, waitMs).catch(() => undefined);
    return answer?.node.instance === instance;
  }

  async list(log: OriginLog, after: number) {
    return decoded(await this.#ask({ kind: 'list', log, after }), decodePage);
  }

  async fetch(log: OriginLog, sequences: readonly number[]) {
    return decoded(await this.#ask({ kind: 'fetch', log, sequences: [...sequences] }), decodeRecords);
  }

  /** None of a peer that does not sign, whose build may not know the question. */
  async signers(origin: NodeId): Promise<readonly string[]> {
    if (!this.#signs) return [];
    return parseMessage('signers', await this.#ask({ kind: 'signers', origin }))?.statements ?? [];
  }

  async session({ keygroup, userId, sessionId }: SessionKey, fromTurn: number) {
    const answer = await this.#ask({ kind: 'session', keygroup, userId, sessionId, fromTurn });
    return decoded(answer, (data) => decodeSessionPage(data, keygroup));
  }

  async turn(attempt: TurnAttempt, from: NodeId): Promise<CarriedVerdict> {
    const answer = await this.#measured(this.#ask({ kind: 'turn', ...carried(attempt, from) }));
    return decoded(answer, (data) => decodeVerdict(data, attempt.key.keygroup));
  }

  async answer({ key, answerId, wish }: AnswerQuestion): Promise<Uint8Array | undefined> {
    const { keygroup, userId, sessionId } = key;
    const told = await this.#ask({ kind: 'answer', keygroup, userId, sessionId, answerId, wish });
    return told.length === 0 ? undefined : told;
  }

  tellOfGrant(attempt: TurnAttempt, from: NodeId, isOver: boolean): void {
    this.tell({ kind: 'grant', ...carried(attempt, from), isOver });
  }

  /** Says something that needs no answer; lost with the connection. */
  tell(request: PeerRequest): void {
    this.#channel?.send(encodeMessage(request));
  }

  /** Its clock was read between question and answer: halfway, give or take the half (as NTP reckons). */
  async #askNode(request: PeerRequest, waitMs?: number): Promise<HelloReply | undefined> {
    const askedMs = this.#clock.steady();
    const reply = parseMessage('helloReply', await this.#ask(request, waitMs));
    if (reply?.node.nodeId === this.nodeId) this.#signs = reply.node.signer !== undefined;
    const halfMs = (this.#clock.steady() - askedMs) / 2;
    const timeMs = reply?.node.nodeId === this.nodeId ? reply.timeMs : undefined;
    if (timeMs !== undefined) this.#peerClock = { timeMs, atSteadyMs: askedMs + halfMs, plusMinusMs: halfMs };
    return reply;
  }

  /** Also one that comes too late for whoever asked: the next is waited for accordingly. */
  async #measured<T>(answer: Promise<T>): Promise<T> {
    const askedMs = this.#clock.monotonic();
    const answered = await answer;
    this.#delay.note(this.#clock.monotonic() - askedMs);
    return answered;
  }

  async #ask(request: PeerRequest, waitMs = ANSWER_WAIT_MS): Promise<Uint8Array> {
    if (this.#channel === undefined) throw new Error(`${this.nodeId} is not connected`);
    return this.#channel.request(encodeMessage(request), waitMs);
  }
}

function carried({ key, turn, parent, attempt }: TurnAttempt, nodeId: NodeId) {
  const { keygroup, userId, sessionId } = key;
  return { nodeId, keygroup, userId, sessionId, turn, ...(parent !== undefined && { parent }), attempt };
}

function decoded<T>(data: Uint8Array, decode: (data: Uint8Array) => T): T {
  try {
    return decode(data);
  } catch (error) {
    if (error instanceof MalformedBytes) throw new Error(`its answer is malformed: ${error.message}`, { cause: error });
    throw error;
  }
}
