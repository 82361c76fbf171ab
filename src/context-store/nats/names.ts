import { DiscedgeError } from '../../domain/errors.ts';
import type { ClusterName, Incarnation, KeygroupId, NodeId } from '../../domain/identifiers.ts';
import type { LimitedNode } from '../replication/peers/reading-rights.ts';

/*
 * Every name that crosses the wire, because a name travels with each record: streams, subjects, users. Node ids hold no
 * dot, star or ">", so none of these can be widened by one.
 */

/** A node, and what it may read. */
export interface PermittedNode {
  readonly nodeId: NodeId;
  /** The keygroups that its certificate lists; `undefined` for all. */
  readonly reads?: readonly KeygroupId[] | undefined;
}

/** A node as its certificate names it. */
export interface NamedNode extends PermittedNode {
  readonly cluster: ClusterName;
}

/**
 * The user a node is at a peer's nats-server, and the e-mail address in its certificate. nats-server's
 * `verify_and_map` looks for a user of that name first, before it tries host names: with the "@" a host called like
 * another node cannot be taken for that node. The cluster is part of it, so clusters that share an authority stay apart.
 * What it may read is part of it, too: a certificate has the rights of the user that it names, or none.
 */
export function userName({ nodeId, cluster, reads = [] }: NamedNode): string {
  return `${[nodeId, ...reads].join('/')}@${cluster}`;
}

/**
 * The user that a node of the cluster is at a server which does not know it yet: the second e-mail address in every
 * node's certificate, tried when the first is not a user. No node id begins with "_".
 */
export function guestName(cluster: ClusterName): string {
  return `_@${cluster}`;
}

/** The nodes that a certificate is of, of whatever cluster, as its alternative names say. */
export function nodesNamedIn(subjectAltName: string | undefined): NamedNode[] {
  return emailsIn(subjectAltName).flatMap((email) => {
    const [, nodeId, listed, cluster] = /^([A-Za-z0-9][\w-]*)((?:\/[0-9a-f]{16})*)@(.+)$/.exec(email) ?? [];
    if (nodeId === undefined) return [];
    const reads = listed === '' ? undefined : (listed?.slice(1).split('/') as KeygroupId[]);
    return [{ nodeId: nodeId as NodeId, cluster: cluster as ClusterName, reads }];
  });
}

/** The mail addresses among alternative names as Node.js writes them: what itself has a comma is in quotes, and one name. */
function emailsIn(subjectAltName: string | undefined): string[] {
  const names = subjectAltName?.matchAll(/(?:^|, )([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)/g) ?? [];
  return [...names].flatMap(([, kind, value]) => (kind === 'email' && value !== undefined ? [value] : []));
}

/** A keygroup's short name: four base-36 digits, as it is sent twice with each record. Two keygroups may share one. */
export function keygroupCode(keygroup: KeygroupId): string {
  return (Number.parseInt(keygroup.slice(0, 12), 16) % 36 ** 4).toString(36).padStart(4, '0');
}

/** Throws `config_invalid` where two of a node's keygroups have one code, and so would have one stream. */
export function requireDistinctCodes(keygroups: readonly KeygroupId[]): void {
  const codes = keygroups.map(keygroupCode);
  if (new Set(codes).size === codes.length) return;
  throw new DiscedgeError(
    'config_invalid',
    'two of the models would share one stream at the nats-server, which is chance: give one of them another name',
  );
}

interface RecordStream {
  readonly keygroup: KeygroupId;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
}

/** One stream per keygroup and node; a node whose disk is new starts a new one. */
export function streamName({ keygroup, nodeId, incarnation }: RecordStream): string {
  return `${keygroupCode(keygroup)}_${nodeId}_${incarnation}`;
}

/** All subjects of a stream. */
export function recordSubjects({ keygroup, nodeId }: Omit<RecordStream, 'incarnation'>): string {
  return `${keygroupCode(keygroup)}.${nodeId}.*`;
}

/** Subjects of a keygroup's records, whoever wrote them. */
export function keygroupSubjects(keygroup: KeygroupId): string {
  return `${keygroupCode(keygroup)}.*.*`;
}

/** The origin sequence is in the subject because a header would cost more, and the publisher goes on from it. */
export function recordSubject({
  keygroup,
  nodeId,
  originSequence,
}: Omit<RecordStream, 'incarnation'> & { readonly originSequence: number }): string {
  return `${keygroupCode(keygroup)}.${nodeId}.${originSequence.toString(36)}`;
}

/** `undefined` for a subject that is not a record's. */
export function originSequenceOf(subject: string): number | undefined {
  const digits = /^[0-9a-z]{4}\.[^.]+\.([1-9a-z][0-9a-z]{0,10})$/.exec(subject)?.[1];
  const sequence = digits === undefined ? Number.NaN : Number.parseInt(digits, 36);
  return Number.isSafeInteger(sequence) ? sequence : undefined;
}

/** A peer's consumer, on whichever stream. */
export function consumerName(nodeId: NodeId): string {
  return nodeId;
}

/** Inboxes of a node begin with this and a dot; nobody else may listen there. */
export function inboxPrefix(nodeId: NodeId): string {
  return `_${nodeId}`;
}

/** Whether this is an inbox of some node. */
export function isInbox(subject: string | undefined): boolean {
  return subject?.startsWith('_') === true;
}

/** Where a node says that a stream of its is ready. */
export function announceSubject(nodeId: NodeId | '*'): string {
  return `ann.${nodeId}`;
}

/** Where a node is asked for records that its stream no longer has, or that another node wrote. */
export function backfillSubject(nodeId: NodeId): string {
  return `bf.${nodeId}`;
}

/**
 * Where a node asks another. One whose certificate lists what it may read has a subject of its own for that, where a server lets
 * nobody else write: so the subject says whom an answer is for.
 */
export function asksAt(nodeId: NodeId, { nodeId: asking, reads }: PermittedNode): string {
  return reads === undefined ? backfillSubject(nodeId) : [backfillSubject(nodeId), asking, ...reads].join('.');
}

/** Where a node hears those that may not read everything. */
export function limitedBackfillSubjects(nodeId: NodeId): string {
  return `${backfillSubject(nodeId)}.>`;
}

/** Who asks at such a subject. */
export function limitedNodeAt(subject: string): LimitedNode {
  const [, , nodeId, ...reads] = subject.split('.');
  return { nodeId: nodeId as NodeId, reads: reads as KeygroupId[] };
}

/** Where a node asks to be let in that a node's server does not know yet, and which may do nothing else there. */
export function knockSubject(nodeId: NodeId): string {
  return `kn.${nodeId}`;
}

/** Where a node behind a hub says how far it has published. */
export function beaconSubject(nodeId: NodeId | '*'): string {
  return `hb.${nodeId}`;
}

/** Prefix of the JetStream API of the server that a client is connected to. */
export const OWN_API = '$JS.API';

/** Prefix of the JetStream API of a node's server, seen from the servers that share a hub with it. */
export function domainApi(nodeId: NodeId): string {
  return `$JS.${nodeId}.API`;
}
