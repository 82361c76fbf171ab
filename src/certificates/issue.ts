import './reflect-metadata.ts';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { guestName, userName } from '../context-store/nats/names.ts';
import { type ClusterName, type KeygroupId, type NodeId, parseClusterName } from '../domain/identifiers.ts';
import { unusable } from './unusable.ts';

/** A certificate and its private key, as PEM. */
export interface IssuedCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly notAfterMs: number;
}

/** Whom an authority certifies: the nodes of a cluster, or the FReD nodes of a cluster and their clients. */
export type AuthorityKind = 'nodes' | 'fred';

export interface Authority {
  readonly kind: AuthorityKind;
  readonly cluster: ClusterName;
  readonly certificate: string;
  readonly key: string;
}

/** P-256: every TLS library in use takes it, and a signature costs a node half as many bytes as RSA's. */
const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNATURE_ALGORITHM = { ...KEY_ALGORITHM, hash: 'SHA-256' };
/** Clocks of edge nodes are off by minutes; a certificate must not be refused because it is too new. */
const BACKDATED_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** A certificate is shown at each connection, and a node serves a few models. */
const KEYGROUPS_MAX = 16;
/** A node asks its own server under these names, whatever others call the machine. */
const OWN_HOSTS = ['localhost', '127.0.0.1', '::1'];

const AUTHORITY_TITLES = { nodes: 'authority', fred: 'FReD authority' } as const;
/**
 * The name that FReD knows all edge nodes by. It gives rights in a keygroup to the name that created it, so a second one could
 * not join.
 */
export const FRED_CLIENT = 'discedge';

/** A new authority of a cluster, valid from an hour before `nowMs`. */
export async function issueAuthority(
  { kind = 'nodes', cluster, days }: { kind?: AuthorityKind; cluster: ClusterName; days: number },
  nowMs: number,
): Promise<IssuedCertificate> {
  const keys = await newKeys();
  const notAfterMs = nowMs + days * DAY_MS;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ O: [cluster] }, { CN: [`${cluster} ${AUTHORITY_TITLES[kind]}`] }],
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: SIGNATURE_ALGORITHM,
    keys,
    extensions: [
      // It signs nodes, never other authorities.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: await keyPem(keys.privateKey), notAfterMs };
}

export interface CertificateRequest {
  readonly authority: Authority;
  readonly nodeId: NodeId;
  readonly hosts: readonly string[];
  readonly days: number;
  /** The keygroups that the node may read, beside what every node reads; `undefined` for all. */
  readonly reads?: readonly KeygroupId[] | undefined;
}

/**
 * A certificate for one node, as server and as client, for `hosts` and this machine. It ends with the authority's at
 * the latest. Throws `certificate_unusable` when key and certificate of the authority do not belong together, when
 * the authority has expired, or when it is FReD's.
 */
export function issueNode(request: CertificateRequest, nowMs: number): Promise<IssuedCertificate> {
  const { authority, nodeId, reads } = request;
  refuseKind(authority, 'nodes');
  const { cluster } = authority;
  return issue(request, [nodeId, [userName({ nodeId, cluster, reads }), guestName(cluster)]], nowMs);
}

/**
 * Certificates for one FReD node, and for the edge node beside it towards any FReD node and as the server of its triggers.
 * Throws as `issueNode`, and for any other authority than FReD's, of which everyone may write to every keygroup.
 */
export async function issueFredNode(
  request: CertificateRequest,
  nowMs: number,
): Promise<{ readonly fred: IssuedCertificate; readonly client: IssuedCertificate }> {
  const { authority, nodeId } = request;
  refuseKind(authority, 'fred');
  return {
    fred: await issue(request, [nodeId, []], nowMs),
    client: await issue(request, [FRED_CLIENT, [userName({ nodeId, cluster: authority.cluster })]], nowMs),
  };
}

function refuseKind({ kind, cluster }: Authority, wanted: AuthorityKind): void {
  if (kind === wanted) return;
  throw unusable(
    kind !== 'nodes'
      ? `the authority of cluster ${cluster} there is FReD's; nodes want one that "discedge certs ca" makes, in another folder`
      : `the authority of cluster ${cluster} there is its nodes'; FReD wants one that "discedge certs fred ca" makes, in another folder`,
  );
}

async function issue(
  { authority, hosts, days }: CertificateRequest,
  [commonName, emails]: readonly [string, readonly string[]],
  nowMs: number,
): Promise<IssuedCertificate> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const issuerEndMs = issuer.notAfter.getTime();
  if (issuerEndMs <= nowMs) {
    throw unusable(`the authority of cluster ${authority.cluster} expired on ${day(issuerEndMs)}; make a new one`);
  }
  const notAfterMs = Math.min(nowMs + days * DAY_MS, issuerEndMs);
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ O: [authority.cluster] }, { CN: [commonName] }],
    issuer: issuer.subjectName,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: SIGNATURE_ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([
        ...emails.map((value) => ({ type: 'email', value }) as const),
        ...[...new Set([...hosts, ...OWN_HOSTS])].map(hostName),
      ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  if (!(await certificate.verify({ publicKey: issuer.publicKey, signatureOnly: true }))) {
    throw unusable('key and certificate of the authority do not belong together');
  }
  return { certificate: pem(certificate), key: await keyPem(keys.privateKey), notAfterMs };
}

/** What is read back from an authority's files. Throws `certificate_unusable` when it is not one of ours. */
export function readAuthority({ certificate, key }: { certificate: string; key: string }): Authority {
  try {
    const parsed = new x509.X509Certificate(certificate);
    if (parsed.getExtension(x509.BasicConstraintsExtension)?.ca !== true) throw new Error('not an authority');
    const cluster = parseClusterName(parsed.subjectName.getField('O')[0]);
    const isFreds = parsed.subjectName.getField('CN').includes(`${cluster} ${AUTHORITY_TITLES.fred}`);
    return { kind: isFreds ? 'fred' : 'nodes', cluster, certificate, key };
  } catch (cause) {
    throw unusable('the certificate of the authority is damaged or not made by "discedge certs ca"', cause);
  }
}

/** Throws `certificate_unusable` for what is neither an address nor a host name. */
export function parseHost(text: string): string {
  const isName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(text);
  // Digits and dots that are not an address would be taken for a host name that nothing resolves.
  if (isIP(text) === 0 && (!isName || /^[\d.]+$/.test(text))) {
    throw unusable(`"${text}" is neither an IP address nor a host name; give hosts without port, separated by commas`);
  }
  return text.toLowerCase();
}

/** In one order and each once. Throws `certificate_unusable` for what is none, and for none or more than a certificate lists. */
export function parseKeygroups(texts: readonly string[]): readonly KeygroupId[] {
  const wrong = texts.find((text) => !/^[0-9a-f]{16}$/.test(text));
  if (wrong !== undefined) throw unusable(`"${wrong}" is no keygroup; one is 16 hex digits, as /nodes has them`);
  const keygroups = [...new Set(texts)].sort();
  if (keygroups.length === 0 || keygroups.length > KEYGROUPS_MAX)
    throw unusable(`a certificate lists 1 to ${KEYGROUPS_MAX} keygroups`);
  return keygroups as KeygroupId[];
}

function hostName(host: string): x509.JsonGeneralName {
  return { type: isIP(host) === 0 ? 'dns' : 'ip', value: host };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
}

async function importKey(key: string): Promise<webcrypto.CryptoKey> {
  try {
    const [bytes] = x509.PemConverter.decode(key);
    return await webcrypto.subtle.importKey('pkcs8', bytes as ArrayBuffer, KEY_ALGORITHM, false, ['sign']);
  } catch (cause) {
    throw unusable('the key of the authority is damaged or not made by "discedge certs ca"', cause);
  }
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
