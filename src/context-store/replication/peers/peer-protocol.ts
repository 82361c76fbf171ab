import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import type { ClusterName, ContextId, Incarnation, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import type { AnswerId } from '../../../domain/record/answer-id.ts';
import { ANSWER_WISHES, type AnswerWish } from '../../answers-elsewhere.ts';
import type { OriginLog } from '../../leveldb/log/origin-log.ts';
import { KEYS_MAX, STATEMENT_CHARACTERS_MAX } from '../signatures/signer-statement.ts';

/*
 * What nodes say to each other beside the streams: requests on a node's back-fill subject, announcements on its own.
 * They are JSON; the lists and records that answer some of them are binary (log-answers.ts), as in docs/protocol.md.
 */

/** Records asked for in one request. */
export const FETCH_RECORDS_MAX = 1_000;
/** Nodes in one cluster: each keeps a connection to each other. */
export const NODES_MAX = 64;
/** Logs a node tells of: one per node, disk and keygroup. Of more, the current ones are told first, and how many are left out. */
export const LOGS_MAX = 1_000;
const TEXT_MAX = 512;

const text = (pattern?: string) => Type.String({ maxLength: TEXT_MAX, ...(pattern && { pattern }) });
const nodeId = Type.Unsafe<NodeId>(text('^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$'));
const incarnation = Type.Unsafe<Incarnation>(text('^[0-9a-f]{8}$'));
const keygroup = Type.Unsafe<KeygroupId>(text('^[0-9a-f]{16}$'));
const sequence = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const log = Type.Object({ origin: nodeId, incarnation, keygroup });
/** Records of the log up to here were evicted at the node that says so; 0 where none was, and of nodes that do not say. */
const evictedThrough = Type.Optional(sequence);

const statement = Type.String({ maxLength: STATEMENT_CHARACTERS_MAX });

const node = Type.Object({
  cluster: Type.Unsafe<ClusterName>(text()),
  nodeId,
  incarnation,
  /** Another one each time the process starts: tells a node from another one under the same id. */
  instance: text(),
  /** The newest version of a record that it reads. */
  recordVersion: Type.Integer(),
  keygroups: Type.Array(keygroup, { maxItems: NODES_MAX }),
  natsUrl: Type.Optional(text()),
  /** Its server dials out to that node's, and is reached through it. */
  hub: Type.Optional(nodeId),
  httpUrl: Type.Optional(text()),
  /** Of the default model; nodes that serve one tell no more. */
  model: Type.Optional(text()),
  /** Of all models, the default one first. */
  models: Type.Optional(Type.Array(text(), { maxItems: NODES_MAX })),
  latitude: Type.Optional(Type.Number()),
  longitude: Type.Optional(Type.Number()),
  /** Turns being answered. */
  load: Type.Optional(Type.Number()),
  /** It answers `session`; nodes of earlier versions do not. */
  handsOutSessions: Type.Optional(Type.Literal(true)),
  /** It answers `turn`; nodes of earlier versions do not. */
  arbitratesTurns: Type.Optional(Type.Literal(true)),
  /** It answers `answer`; nodes of earlier versions do not. */
  tellsOfAnswers: Type.Optional(Type.Literal(true)),
  /** What proves its key, where it signs its records; it answers `signers`. */
  signer: Type.Optional(statement),
});
export type NodeAnnouncement = Static<typeof node>;

const fredPlace = Type.Object({ node: text(), host: text(), box: text('^[a-z0-9]+$') });
/** A node's FReD node, where clients reach that, and the keygroup there in which the node is told something. */
export type FredPlace = Static<typeof fredPlace>;

const member = {
  nodeId,
  natsUrl: Type.Optional(text()),
  hub: Type.Optional(nodeId),
  fred: Type.Optional(fredPlace),
};
/** A node of the cluster and where it is reached: at the address of its server, through its hub's, or at its FReD node. */
export interface Member {
  readonly nodeId: NodeId;
  readonly natsUrl?: string;
  readonly hub?: NodeId;
  readonly fred?: FredPlace;
}

const hello = Type.Object({
  kind: Type.Literal('hello'),
  node,
  /** How far the asking node is in the asked node's logs. */
  cursors: Type.Array(Type.Object({ log, sequence, evictedThrough }), { maxItems: LOGS_MAX }),
});
export type Hello = Static<typeof hello>;

const turnAttempt = {
  /** The node whose attempt it is. */
  nodeId,
  keygroup,
  userId: text(),
  sessionId: text(),
  turn: sequence,
  /** The turn before it; none for the first. */
  parent: Type.Optional(Type.Unsafe<ContextId>(text('^[0-9a-f]{32}$'))),
  attempt: sequence,
};

const request = Type.Union([
  hello,
  /** Only the description is asked for; nothing is learned of the asking node. */
  Type.Object({ kind: Type.Literal('who') }),
  Type.Object({ kind: Type.Literal('list'), log, after: sequence }),
  Type.Object({
    kind: Type.Literal('fetch'),
    log,
    sequences: Type.Array(sequence, { maxItems: FETCH_RECORDS_MAX }),
  }),
  /** What is known of a node's keys. */
  Type.Object({ kind: Type.Literal('signers'), origin: nodeId }),
  /** What is held of one session, from that turn on. */
  Type.Object({ kind: Type.Literal('session'), keygroup, userId: text(), sessionId: text(), fromTurn: sequence }),
  /** The asking node is about to answer a turn. */
  Type.Object({ kind: Type.Literal('turn'), ...turnAttempt }),
  /** The asking node is at the turn that it asked about, still, or is not any more and has stored nothing. */
  Type.Object({ kind: Type.Literal('grant'), ...turnAttempt, isOver: Type.Boolean() }),
  /** What is known of an answer that has no record yet, and what is wished of it. */
  Type.Object({
    kind: Type.Literal('answer'),
    keygroup,
    userId: text(),
    sessionId: text(),
    answerId: Type.Unsafe<AnswerId>(text('^[0-9a-f]{16}$')),
    wish: Type.Unsafe<AnswerWish>({ type: 'string', enum: [...ANSWER_WISHES] }),
  }),
  /** The asking node finds no stream for this keygroup. */
  Type.Object({ kind: Type.Literal('check'), keygroup }),
  /** The asking node has the asked node's records up to here, durable. */
  Type.Object({ kind: Type.Literal('report'), nodeId, log, sequence }),
]);
export type PeerRequest = Static<typeof request>;

export type TurnRequest = Extract<PeerRequest, { readonly kind: 'turn' | 'grant' }>;

/** Nodes of later versions may have others. */
export type NodeRefusal =
  | 'other_cluster'
  | 'duplicate_node_id'
  | 'excluded'
  | 'cluster_full'
  | 'unproved'
  | 'keygroup_not_listed';

const helloReply = Type.Object({
  node,
  refused: Type.Optional(text()),
  /** Its time of day, in milliseconds since 1970; nodes of earlier versions do not say. */
  timeMs: Type.Optional(Type.Number()),
  /** What the answering node holds, its own logs included. */
  logs: Type.Array(Type.Object({ log, last: sequence, evictedThrough }), { maxItems: LOGS_MAX }),
  /** How many more logs it holds than it may tell of. */
  logsLeftOut: Type.Optional(sequence),
  /** Nodes it knows. */
  members: Type.Array(Type.Object(member), { maxItems: NODES_MAX }),
});
export type HelloReply = Static<typeof helloReply>;

const announcement = Type.Union([
  /** A stream is ready. */
  Type.Object({ kind: Type.Literal('stream'), keygroup, incarnation, instance: text() }),
  /** A node has joined; the others need not have met it. */
  Type.Object({ kind: Type.Literal('member'), ...member }),
  /** Somebody waits until the peers have this record. */
  Type.Object({ kind: Type.Literal('want'), keygroup, sequence }),
  /** Records of the log up to there were evicted here. */
  Type.Object({ kind: Type.Literal('evicted'), log, through: sequence }),
]);
export type Announcement = Static<typeof announcement>;

/** What proves the keys of a node. */
const signers = Type.Object({ statements: Type.Array(statement, { maxItems: KEYS_MAX }) });
export type Signers = Static<typeof signers>;

const forms = { request, helloReply, announcement, signers };
const checks = {
  request: Compile(request),
  helloReply: Compile(helloReply),
  announcement: Compile(announcement),
  signers: Compile(signers),
};

interface Checked {
  readonly request: PeerRequest;
  readonly helloReply: HelloReply;
  readonly announcement: Announcement;
  readonly signers: Signers;
}

/**
 * `undefined` for anything that is not such a message. Fields that it does not know, from a later version or a hostile
 * peer, are left out: what is kept of a message has been checked, and has a bound.
 */
export function parseMessage<Kind extends keyof Checked>(kind: Kind, data: Uint8Array): Checked[Kind] | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
    return checks[kind].Check(value) ? (Value.Clean(forms[kind], value) as Checked[Kind]) : undefined;
  } catch {
    return undefined;
  }
}

export function encodeMessage(message: PeerRequest | HelloReply | Announcement | Signers): Uint8Array {
  return Buffer.from(JSON.stringify(message));
}

export function sameLog(a: OriginLog, b: OriginLog): boolean {
  return a.origin === b.origin && a.incarnation === b.incarnation && a.keygroup === b.keygroup;
}
