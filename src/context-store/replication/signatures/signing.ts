import type { KeyObject, X509Certificate } from 'node:crypto';
import type { NodeId } from '../../../domain/identifiers.ts';
import type { RecordSigner } from '../../../domain/record/record-signature.ts';
import type { ReplicaStore } from '../../leveldb/replica.ts';
import { KnownSigners, type KnownSignersParts } from './known-signers.ts';
import { keyIdOf, kindOf, signWith } from './node-key.ts';
import { writeStatement } from './signer-statement.ts';

/** Name of the note with the time at which this node began to sign. */
const SINCE = 'signs-since';

/** A node's key, what proves it to the others, and what is known of theirs. */
export interface Signing extends RecordSigner {
  readonly statement: string;
  readonly signers: KnownSigners;
}

/**
 * What a node with this certificate signs its records with; `undefined` where the certificate would prove nothing to the others: not
 * this node's, or with a key of another kind. Throws what the store throws.
 */
export async function beginSigning(
  {
    nodeId,
    certificate,
    privateKey,
    ...parts
  }: Omit<KnownSignersParts, 'replica'> & {
    readonly nodeId: NodeId;
    readonly certificate: X509Certificate;
    readonly privateKey: KeyObject;
  },
  replica: Pick<ReplicaStore, 'note' | 'noted'>,
): Promise<Signing | undefined> {
  if (kindOf(privateKey) === undefined) return undefined;
  const noted = replica.noted(SINCE);
  const sinceMs = noted === undefined ? parts.clock.now() : Number(noted);
  if (noted === undefined) await replica.note(SINCE, String(sinceMs));
  const statement = writeStatement(nodeId, { certificate, privateKey, sinceMs });
  const signers = new KnownSigners({ ...parts, replica });
  if (!signers.learn(nodeId, statement)) return undefined;
  return {
    keyId: keyIdOf(certificate.publicKey),
    sign: (message) => signWith(privateKey, message),
    statement,
    signers,
  };
}
