import type { KeygroupId, NodeId, SessionKey, TurnNumber } from '../../../domain/identifiers.ts';
import type { Clock, Logger } from '../../../environment/environment.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import type { TurnAttempt } from '../../turn-arbitration.ts';
import type { AnswerQuestions } from './answer-questions.ts';
import {
  encodePage,
  encodeRecords,
  FETCH_BYTES_MAX,
  type FetchedRecords,
  LIST_ENTRIES_MAX,
  type LogPage,
} from './log-answers.ts';
import {
  encodeMessage,
  type Hello,
  type HelloReply,
  type NodeAnnouncement,
  type PeerRequest,
  parseMessage,
  type TurnRequest,
} from './peer-protocol.ts';
import { type LimitedNode, mayAsk, readableOf } from './reading-rights.ts';
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
  readonly onCheck: (keygroup: KeygroupId) => void;
  readonly turns: Pick<TurnQuestions, 'answer' | 'note'>;
  readonly answers: Pick<AnswerQuestions, 'answer'>;
  /** What is known here of a node's keys. */
  readonly signersOf: (origin: NodeId) => readonly string[];
  readonly onReport: (peer: NodeId, log: OriginLog, sequence: number) => void;
}

/**
 * What is answered to a peer that asks something of this node; `undefined` for what is not a request or needs no answer, so
 * that the asking side gives up by itself. No answer is longer than `answerBytesMax`. To a node with a certificate that lists what it
 * may read nothing else is answered. Throws what the parts and the store throw.
 */
export async function answerTo(
  parts: PeerRequestsParts,
  data: Uint8Array,
  { answerBytesMax, asking }: { readonly answerBytesMax?: number | undefined; readonly asking?: LimitedNode } = {},
): Promise<Uint8Array | undefined> {
  const request = parseMessage('request', data);
  if (request !== undefined && asking !== undefined && !mayAsk(asking, request)) {
    parts.logger.debug('peer_request_refused', { peer: asking.nodeId, kind: request.kind });
    return undefined;
  }
  switch (request?.kind) {
    case undefined:
      // Not louder: whoever sends one can send many.
      parts.logger.debug('peer_request_malformed', { bytes: data.length });
      return undefined;
    case 'hello':
      return encodeMessage(readableOf(asking, await parts.onHello(request)));
    case 'who':
      return encodeMessage({ node: parts.describe(), timeMs: parts.clock.now(), logs: [], members: [] });
    case 'list':
      return encodePage(await pageOf(parts.replica, request.log, request.after));
    case 'fetch':
      return encodeRecords(recordsOf(parts.replica, request.log, request.sequences, answerBytesMax));
    case 'signers':
      return encodeMessage({ statements: [...parts.signersOf(request.origin)] });
    case 'session':
      return encodeSessionPage(await sessionOf(parts.replica, request));
    case 'turn': {
      const verdict = await parts.turns.answer(attemptOf(request), request.nodeId);
      return verdict && encodeVerdict(verdict);
    }
    case 'grant':
      parts.turns.note(attemptOf(request), request.nodeId, request.isOver);
      return undefined;
    case 'answer': {
      const { keygroup, userId, sessionId, answerId, wish } = request;
      const key = { keygroup, userId, sessionId } as SessionKey;
      return (await parts.answers.answer({ key, answerId, wish })) ?? NOTHING;
    }
    case 'check':
      parts.onCheck(request.keygroup);
      return undefined;
    case 'report':
      parts.onReport(request.nodeId, request.log, request.sequence);
      return undefined;
    default:
      return request satisfies never;
  }
}

/** Nothing is known here. */
const NOTHING = new Uint8Array();

function attemptOf({ keygroup, userId, sessionId, turn, parent, attempt }: TurnRequest): TurnAttempt {
  const key = { keygroup, userId, sessionId } as SessionKey;
  return { key, turn: turn as TurnNumber, parent, attempt };
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
  answerBytesMax = FETCH_BYTES_MAX,
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
    if (bytes === undefined || bytes.length + OVERHEAD_BYTES > answerBytesMax) continue;
    bytesInAll += bytes.length;
    records.push({ sequence, bytes });
  }
  return { covered, records };
}

/** Two counts, a sequence and a length. */
const OVERHEAD_BYTES = 32;
