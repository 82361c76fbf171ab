import { API_KEYS_OWNER, DOCUMENTS_KEYGROUP } from '../../../domain/cluster/documents.ts';
import type { KeygroupId, NodeId, SessionKey } from '../../../domain/identifiers.ts';
import type { HelloReply, PeerRequest } from './peer-protocol.ts';

/** A node with a certificate that lists the keygroups that it may read. */
export interface LimitedNode {
  readonly nodeId: NodeId;
  readonly reads: readonly KeygroupId[];
}

/** Whether a node with a certificate that lists these may read a keygroup: what the cluster has to know, every node may. */
export function mayRead(reads: readonly KeygroupId[], keygroup: KeygroupId): boolean {
  return keygroup === DOCUMENTS_KEYGROUP || reads.includes(keygroup);
}

/** Whether such a node's record counts: none of what it may not read, and no API key, which would open that at another node. */
export function mayWrite(reads: readonly KeygroupId[], { keygroup, userId }: SessionKey): boolean {
  return mayRead(reads, keygroup) && !(keygroup === DOCUMENTS_KEYGROUP && userId === API_KEYS_OWNER);
}

/** Whether a request is one that such a node may make: in its own name, and of what it may read. */
export function mayAsk({ nodeId, reads }: LimitedNode, request: PeerRequest): boolean {
  switch (request.kind) {
    case 'hello':
      return request.node.nodeId === nodeId;
    case 'who':
    case 'signers':
      return true;
    case 'list':
    case 'fetch':
      return mayRead(reads, request.log.keygroup);
    case 'report':
      return request.nodeId === nodeId && mayRead(reads, request.log.keygroup);
    case 'turn':
    case 'grant':
      return request.nodeId === nodeId && mayRead(reads, request.keygroup);
    case 'session':
    case 'answer':
    case 'check':
      return mayRead(reads, request.keygroup);
    default:
      return request satisfies never;
  }
}

/** What of the answer to a greeting a node is told: all, or what it may read. */
export function readableOf(asking: LimitedNode | undefined, reply: HelloReply): HelloReply {
  if (asking === undefined) return reply;
  return { ...reply, logs: reply.logs.filter(({ log }) => mayRead(asking.reads, log.keygroup)) };
}
