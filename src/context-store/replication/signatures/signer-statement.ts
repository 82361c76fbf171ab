import { type KeyObject, X509Certificate } from 'node:crypto';
import { ByteReader, ByteWriter, MalformedBytes } from '../../../domain/bytes.ts';
import type { ClusterName, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import { SIGNATURE_BYTES } from '../../../domain/record/record-signature.ts';
import { nodesNamedIn } from '../../nats/names.ts';
import { isSignedWith, keyIdOf, kindOf, signWith } from './node-key.ts';

/*
 * What a node says of its key, as base64 text: its certificate, and since when it signs what it writes, signed with it. It proves
 * itself, so that nodes pass on what they have of others.
 */

/** Of the text: a certificate of a cluster's own authority takes less than 1,000 characters. */
export const STATEMENT_CHARACTERS_MAX = 8_192;
/** Keys of one node: a renewed certificate has another, and few are renewed while a record lives. */
export const KEYS_MAX = 16;
const FORM = 1;

export interface SignerStatement {
  readonly key: KeyObject;
  readonly keyId: string;
  /** Its records from then on are signed. */
  readonly sinceMs: number;
  /** The keygroups that its certificate lists, of those it may read no other; `undefined` for all. */
  readonly reads?: readonly KeygroupId[] | undefined;
}

export function writeStatement(
  nodeId: NodeId,
  { certificate, privateKey, sinceMs }: { certificate: X509Certificate; privateKey: KeyObject; sinceMs: number },
): string {
  const writer = new ByteWriter(1024);
  writer.byte(FORM);
  writer.varint(sinceMs);
  writer.varint(certificate.raw.length);
  writer.raw(certificate.raw);
  writer.raw(signWith(privateKey, messageOf(nodeId, sinceMs)));
  return writer.view().toString('base64');
}

/**
 * What a statement says of `nodeId`, when it is that node's of this cluster, by an authority of it; `undefined` when it is not. A
 * certificate that has expired since is as good as ever for what was signed with it: records outlive it.
 */
export function readStatement(
  text: string,
  { nodeId, cluster, authorities }: { nodeId: NodeId; cluster: ClusterName; authorities: readonly X509Certificate[] },
): SignerStatement | undefined {
  if (text.length > STATEMENT_CHARACTERS_MAX) return undefined;
  try {
    const reader = new ByteReader(Buffer.from(text, 'base64'));
    if (reader.byte() !== FORM) return undefined;
    const sinceMs = reader.varint();
    const certificate = new X509Certificate(reader.raw(reader.varint(STATEMENT_CHARACTERS_MAX)));
    const signature = reader.raw(SIGNATURE_BYTES);
    const { publicKey: key } = certificate;
    const names = nodesNamedIn(certificate.subjectAltName);
    const named = names.find((name) => name.nodeId === nodeId && name.cluster === cluster);
    const isNodes =
      !certificate.ca &&
      kindOf(key) !== undefined &&
      authorities.some((authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
    if (named === undefined || !isNodes || !isSignedWith(key, messageOf(nodeId, sinceMs), signature)) return undefined;
    return { key, keyId: keyIdOf(key).toString('hex'), sinceMs, reads: named.reads };
  } catch (error) {
    // What OpenSSL cannot read is no certificate.
    if (error instanceof MalformedBytes || error instanceof Error) return undefined;
    throw error;
  }
}

function messageOf(nodeId: NodeId, sinceMs: number): Uint8Array {
  return Buffer.from(`discedge signer\0${nodeId}\0${sinceMs}`);
}
