import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { NodeCertificateFiles } from '../config/certificate-files.ts';
import { nodesNamedIn, userName } from '../context-store/nats/names.ts';
import type { ClusterName, KeygroupId, NodeId } from '../domain/identifiers.ts';
import { readCertificates, readKey } from './pem-files.ts';
import { unusable } from './unusable.ts';

export interface CertifiedNode {
  readonly nodeId: NodeId;
  readonly cluster: ClusterName;
  /** Where peers reach its server, which shows this certificate; `undefined` where another server is used. */
  readonly host: string | undefined;
}

export interface UsableCertificate {
  readonly notAfterMs: number;
  /** The keygroups that the node may read, beside what every node reads; `undefined` for all. */
  readonly reads: readonly KeygroupId[] | undefined;
}

/**
 * Whether a node can use these certificates as what it is; resolves with when they expire and what they let it read. Throws
 * `certificate_unusable` when a file cannot be read, when they do not belong together, are not valid at `nowMs`, or name another
 * node, cluster or host: a server would say no more than that the connection was refused.
 */
export async function checkNodeCertificate(
  { certFile, keyFile, caFile }: NodeCertificateFiles,
  { nodeId, cluster, host }: CertifiedNode,
  nowMs: number,
): Promise<UsableCertificate> {
  const certificate = (await readCertificates(certFile))[0] as X509Certificate;
  if (!certificate.checkPrivateKey(await readKey(keyFile))) throw unusable(`${keyFile} is not the key of ${certFile}`);
  const authorities = await readCertificates(caFile);
  if (!authorities.some((authority) => certificate.verify(authority.publicKey))) {
    throw unusable(`${certFile} was not signed by an authority in ${caFile}`);
  }
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (nowMs < fromMs || nowMs > toMs) {
    throw unusable(`${certFile} is valid from ${certificate.validFrom} to ${certificate.validTo}, which is not now`);
  }
  const names = nodesNamedIn(certificate.subjectAltName);
  const named = names.find((name) => name.nodeId === nodeId && name.cluster === cluster);
  if (named === undefined) {
    const other = names[0] === undefined ? 'nobody' : userName(names[0]);
    throw unusable(`${certFile} names ${other}, and this is ${userName({ nodeId, cluster })} (node id @ cluster)`);
  }
  if (
    host !== undefined &&
    (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) === undefined
  ) {
    throw unusable(
      `${certFile} does not name ${host}, where peers would reach this node; say under which address they do with ` +
        '--nats-advertise, or make a certificate with --host for it',
    );
  }
  return { notAfterMs: toMs, reads: named.reads };
}
