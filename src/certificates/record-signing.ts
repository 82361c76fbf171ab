import type { X509Certificate } from 'node:crypto';
import type { NodeCertificateFiles } from '../config/certificate-files.ts';
import type { ReplicaStore } from '../context-store/leveldb/replica.ts';
import { beginSigning, type Signing } from '../context-store/replication/signatures/signing.ts';
import type { ClusterName, NodeId } from '../domain/identifiers.ts';
import type { Environment } from '../environment/environment.ts';
import { readCertificates, readKey } from './pem-files.ts';
import { unusable } from './unusable.ts';

/**
 * What a node signs its records with: the key of its certificate. `undefined` where that is of no use for it, which the log
 * says. Throws `certificate_unusable` for files that cannot be read, and where signatures are required and this node could make none.
 */
export async function openSigning(
  { certFile, keyFile, caFile }: NodeCertificateFiles,
  named: {
    readonly nodeId: NodeId;
    readonly cluster: ClusterName;
    readonly requiresSignatures: boolean;
    readonly recordLifeMs: number;
  },
  replica: Pick<ReplicaStore, 'note' | 'noted'>,
  { clock, logger }: Environment,
): Promise<Signing | undefined> {
  const certificate = (await readCertificates(certFile))[0] as X509Certificate;
  const privateKey = await readKey(keyFile);
  const authorities = await readCertificates(caFile);
  const signing = await beginSigning({ ...named, certificate, privateKey, authorities, clock, logger }, replica);
  if (signing !== undefined) return signing;
  const reason = `records can be signed with a P-256 or an Ed25519 key of a certificate that names the node, and ${certFile} is none`;
  if (named.requiresSignatures) throw unusable(reason);
  logger.warn('records_not_signed', { reason });
  return undefined;
}
