import { DOCUMENTS_KEYGROUP } from '../../../domain/cluster/documents.ts';
import type { KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import {
  announceSubject,
  asksAt,
  backfillSubject,
  beaconSubject,
  consumerName,
  domainApi,
  inboxPrefix,
  keygroupSubjects,
  knockSubject,
  limitedBackfillSubjects,
  OWN_API,
  type PermittedNode,
} from '../names.ts';

/** Subjects that a user of a node's server may use. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/**
 * A subject that nobody uses. An empty list would allow everything, and a hub of version 2.15 tells a server behind it
 * nothing of what it listens to when that may subscribe to nothing at all.
 */
const NOTHING = ['_'];

/** A node that is shut out. */
export const excludedPermissions: Permissions = { publish: NOTHING, subscribe: NOTHING };

/** A node of the cluster that the server of `nodeId` does not know: it may knock. */
export function guestPermissions(nodeId: NodeId): Permissions {
  return { publish: [knockSubject(nodeId)], subscribe: NOTHING };
}

/** A peer that connects to the server of `nodeId`. */
export function directPermissions(nodeId: NodeId, peer: PermittedNode): Permissions {
  return {
    publish: [...consumerRequests(OWN_API, peer), asksAt(nodeId, peer), knockSubject(nodeId)],
    subscribe: [`${inboxPrefix(peer.nodeId)}.>`, announceSubject(nodeId)],
  };
}

/**
 * What may pass between the hub and the server of `peer`: its requests to others, and theirs to it with the answers.
 *
 * Servers listen for CONSUMER.> as a whole, and a hub passes that on only to those who may publish something below it,
 * which it finds only when no wildcard comes before the last token: hence CONSUMER.NAMES, which does no harm.
 */
export function behindHubPermissions(
  { nodeId, peers }: { readonly nodeId: NodeId; readonly peers: readonly NodeId[] },
  limited: PermittedNode,
): Permissions {
  const { nodeId: peer } = limited;
  const others = [...new Set([nodeId, ...peers])].filter((other) => other !== peer);
  return {
    publish: [
      // A peer that reaches this server directly names no domain.
      ...consumerRequests(OWN_API, limited),
      ...others.flatMap((other) => [
        ...consumerRequests(domainApi(other), limited),
        `${domainApi(other)}.CONSUMER.NAMES.*`,
        `${inboxPrefix(other)}.>`,
        asksAt(other, limited),
        knockSubject(other),
      ]),
      announceSubject(peer),
      beaconSubject(peer),
    ],
    subscribe: [
      `${domainApi(peer)}.>`,
      `${inboxPrefix(peer)}.>`,
      backfillSubject(peer),
      limitedBackfillSubjects(peer),
      knockSubject(peer),
      announceSubject('*'),
      beaconSubject('*'),
    ],
  };
}

/** Requests with which a peer finds streams and handles consumers of its own name, and nothing else. */
function consumerRequests(api: string, { nodeId: peer, reads }: PermittedNode): string[] {
  const consumer = consumerName(peer);
  return [
    `${api}.STREAM.NAMES`,
    ...makingConsumers(api, consumer, reads),
    `${api}.CONSUMER.DELETE.*.${consumer}`,
    `${api}.CONSUMER.MSG.NEXT.*.${consumer}`,
  ];
}

/**
 * No wildcard stands for a part of a stream's name, but the last words of this request are what the consumer filters by, and a
 * server refuses one whose body says otherwise. Without them a consumer has the whole stream.
 */
function makingConsumers(api: string, consumer: string, reads: readonly KeygroupId[] | undefined): string[] {
  const create = `${api}.CONSUMER.CREATE.*.${consumer}`;
  if (reads === undefined) return [create, `${create}.>`, `${api}.CONSUMER.DURABLE.CREATE.*.${consumer}`];
  return [...new Set([...reads, DOCUMENTS_KEYGROUP])].map((keygroup) => `${create}.${keygroupSubjects(keygroup)}`);
}
