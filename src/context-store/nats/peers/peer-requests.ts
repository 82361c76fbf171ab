import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { KeygroupId, NodeId, SessionKey, TurnNumber } from '../../../domain/identifiers.ts';
import type { Clock, Logger } from '../../../environment/environment.ts';
import type { OriginLog } from '../../leveldb/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { TurnAttempt } from '../../turn-arbitration.ts';
import { isInbox } from '../names.ts';
import {
  encodeMessage,
  encodePage,
  encodeRecords,
  FETCH_BYTES_MAX,
  type FetchedRecords,
  type Hello,
  type HelloReply,
  LIST_ENTRIES_MAX,
  type LogPage,
  type NodeAnnouncement,
  type PeerRequest,
  parseMessage,
  type TurnRequest,
} from './peer-protocol.ts';
import { encodeSessionPage, type SessionPage } from './session-page.ts';
import type { TurnQuestions } from './turn-questions.ts';
import { encodeVerdict } from './turn-verdict.ts';

type SessionRequest = Extract<PeerRequest, { readonly kind: 'session' }>;

export interface PeerRequestsParts {
  readonly replica: ReplicaStore;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly describe: () => NodeAnnouncement;
  readonly onHello: (hello: Hello) => Promise<HelloReply>;
  readonly onKnock: (hello: Hello) => Promise<void>;
  readonly onCheck: (keygroup: KeygroupId) => void;
  readonly turns: Pick<TurnQuestions, 'answer' | 'note'>;
  readonly onReport: (peer: NodeId, log: OriginLog, sequence: number) => void;
}

/** Answers what peers ask of this node. What is not a request gets no answer, so the asking side gives up by itself. */
export function answerPeerRequest(parts: PeerRequestsParts, nats: NatsConnection, message: Msg): void {
  const request = parseMessage('request', message.data);
  const answerLater = (answer: Promise<Uint8Array | undefined>) =>
    void answer.then(
      (data) => data && respond(message, data),
      (error) => parts.logger.warn('peer_request_failed', { kind: request?.kind }, error),
    );
  switch (request?.kind) {
    case undefined:
      // Not louder: whoever sends one can send many.
      parts.logger.debug('peer_request_malformed', { bytes: message.data.length });
      return;
    case 'hello':
      answerLater(parts.onHello(request).then(encodeMessage));
      return;
    case 'who':
      respond(message, encodeMessage({ node: parts.describe(), timeMs: parts.clock.now(), logs: [], members: [] }));
      return;
    case 'list':
      answerLater(pageOf(parts.replica, request.log, request.after).then(encodePage));
      return;
    case 'fetch':
      respond(message, encodeRecords(recordsOf(parts.replica, request.log, request.sequences, nats.info?.max_payload)));
      return;
    case 'session':
      answerLater(sessionOf(parts.replica, request).then(encodeSessionPage));
      return;
    case 'turn':
      answerLater(
        parts.turns.answer(attemptOf(request), request.nodeId).then((verdict) => verdict && encodeVerdict(verdict)),
      );
      return;
    case 'grant':
      parts.turns.note(attemptOf(request), request.nodeId, request.isOver);
      return;
    case 'check':
      parts.onCheck(request.keygroup);
      return;
    case 'report':
      parts.onReport(request.nodeId, request.log, request.sequence);
      return;
    default:
      request satisfies never;
  }
}

function attemptOf({ keygroup, userId, sessionId, turn, parent, attempt }: TurnRequest): TurnAttempt {
  const key = { keygroup, userId, sessionId } as SessionKey;
  return { key, turn: turn as TurnNumber, parent, attempt };
}

/** A node that its server does not know yet may say only this. The answer is that the server lets it in. */
export function hearKnock({ onKnock, logger }: Pick<PeerRequestsParts, 'onKnock' | 'logger'>, message: Msg): void {
  const request = parseMessage('request', message.data);
  if (request?.kind !== 'hello') return;
  onKnock(request).catch((error) => logger.warn('peer_request_failed', { kind: 'knock' }, error));
}

/**
 * The connection can be gone by the time an answer is ready; whoever asked asks again. Nothing is sent but to an inbox:
 * this node may do everything at its server, and a peer must not have it done by naming another subject.
 */
function respond(message: Msg, data: Uint8Array): void {
  if (!isInbox(message.reply)) return;
  try {
    message.respond(data);
  } catch {}
}

async function pageOf(replica: ReplicaStore, log: OriginLog, after: number): Promise<LogPage> {
  // The end first: a record that is written between the two looks must not fall behind it.
  const { last: end } = await replica.logState(log);
  const entries = await replica.readLog(log, { after, limit: LIST_ENTRIES_MAX });
  const lastListed = entries.at(-1)?.sequence ?? after;
  const through = entries.length === LIST_ENTRIES_MAX ? lastListed : Math.max(end, lastListed);
  return { entries, through };
}

async function sessionOf(
  replica: ReplicaStore,
  { keygroup, userId, sessionId, fromTurn }: SessionRequest,
): Promise<SessionPage> {
  const key = { keygroup, userId, sessionId } as SessionKey;
  const entries = await replica.sessionEntries(key, { fromTurn, limit: LIST_ENTRIES_MAX });
  return { entries, more: entries.length === LIST_ENTRIES_MAX };
}

function recordsOf(
  replica: ReplicaStore,
  log: OriginLog,
  sequences: readonly number[],
  payloadBytesMax = FETCH_BYTES_MAX,
): FetchedRecords {
  const records: { sequence: number; bytes: Uint8Array }[] = [];
  let bytesInAll = 0;
  let covered = 0;
  for (const sequence of sequences) {
    const entry = replica.logEntry(log, sequence);
    const bytes = entry && replica.recordBytes(entry);
    if (bytes !== undefined && bytesInAll > 0 && bytesInAll + bytes.length > FETCH_BYTES_MAX) break;
    covered++;
    // One that no message can carry stays here.
    if (bytes === undefined || bytes.length + OVERHEAD_BYTES > payloadBytesMax) continue;
    bytesInAll += bytes.length;
    records.push({ sequence, bytes });
  }
  return { covered, records };
}

/** Two counts, a sequence and a length. */
const OVERHEAD_BYTES = 32;
