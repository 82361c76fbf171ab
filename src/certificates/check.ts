import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { NodeCertificateFiles } from '../config/certificate-files.ts';
import { nodesNamedIn, userName } from '../context-store/nats/names.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { ClusterName, KeygroupId, NodeId } from '../domain/identifiers.ts';

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
 * Whether a node can use these certificates as what it is; resolves with when they expire and what they let it read. Throws `certificate_unusable` when a file cannot be read, when
 * they do not belong together, are not valid at `nowMs`, or name another node, cluster or host: a server would say no more than
 * that the connection was refused.
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

/** Those in a file, the first of which is whose file it is. Throws `certificate_unusable`. */
export async function readCertificates(path: string): Promise<X509Certificate[]> {
  const blocks = (await read(path)).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw unusable(`${path} holds no certificate`);
  return blocks.map((block) => parse(path, () => new X509Certificate(block)));
}

/** Throws `certificate_unusable`. */
export async function readKey(path: string): Promise<KeyObject> {
  const text = await read(path);
  return parse(path, () => createPrivateKey(text));
}

function parse<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw unusable(`${path} cannot be used: ${(cause as Error).message}`, cause);
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unusable(`${path} cannot be read: ${(cause as Error).message}; make it with "discedge certs node"`, cause);
  }
}

function unusable(message: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('certificate_unusable', message, { cause });
}
