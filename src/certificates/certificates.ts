import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { makeFolder } from '../context-store/make-folder.ts';
import { writeWhole } from '../context-store/whole-file.ts';
import type { ClusterName, NodeId } from '../domain/identifiers.ts';
import type { Clock, Environment } from '../environment/environment.ts';
import { nodeEnvironment } from '../environment/node-environment.ts';
import { CLUSTER_KEY_FILE, CLUSTER_KEY_MODE, contentOf, newClusterKey } from './cluster-key.ts';
import {
  type Authority,
  type AuthorityKind,
  issueAuthority,
  issueFredNode,
  issueNode,
  parseHost,
  parseKeygroups,
  readAuthority,
} from './issue.ts';
import { unusable } from './unusable.ts';

export interface NodeCertificateRequest {
  /** Folder of the authority. */
  readonly dir: string;
  readonly nodeId: NodeId;
  /** Names and addresses under which peers reach the node. */
  readonly hosts: readonly string[];
  /** The keygroups that the node may read; left out, all. FReD knows of no such thing. */
  readonly keygroups?: readonly string[] | undefined;
  readonly days: number;
  /** Whether to replace what is there. */
  readonly force: boolean;
}

/** Where a certificate was written, and until when it is valid. */
export interface WrittenCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly notAfterMs: number;
}

export interface WrittenNodeCertificate extends WrittenCertificate {
  readonly cluster: ClusterName;
  /** Holds all that the node needs and nothing else: this is what is copied to it. */
  readonly folder: string;
  readonly caFile: string;
  readonly clusterKeyFile: string;
}

/**
 * Makes the authority of a cluster: `ca.key`, which stays where it is made, and `ca.crt`, in `dir`; beside them the cluster's
 * key, unless there is one: ids that it has sealed outlive the authority. Throws
 * `certificate_unusable` when one is there and `force` is not set, or when the folder cannot be written.
 */
export async function makeAuthority(
  {
    kind = 'nodes',
    dir,
    cluster,
    days,
    force,
  }: { kind?: AuthorityKind; dir: string; cluster: ClusterName; days: number; force: boolean },
  clock: Clock = systemClock(),
): Promise<WrittenCertificate> {
  const { keyFile, certFile } = authorityFiles(dir);
  if (!force) await refuseExisting([keyFile, certFile]);
  const issued = await issueAuthority({ kind, cluster, days }, clock.now());
  await keepClusterKey(dir);
  await writeFiles(dir, [
    { path: keyFile, content: issued.key, mode: KEY_MODE },
    { path: certFile, content: issued.certificate, mode: CERTIFICATE_MODE },
  ]);
  return { keyFile, certFile, notAfterMs: issued.notAfterMs };
}

/**
 * Makes key and certificate of one node in the folder `dir/<node id>`, signed by the authority in `dir`. Throws
 * `certificate_unusable` when they are there and `force` is not set, or when there is no usable authority.
 */
export async function makeNodeCertificate(
  { dir, nodeId, hosts, keygroups, days, force }: NodeCertificateRequest,
  clock: Clock = systemClock(),
): Promise<WrittenNodeCertificate> {
  const folder = join(dir, nodeId);
  const [keyFile, certFile, caFile] = [join(folder, 'node.key'), join(folder, 'node.crt'), join(folder, 'ca.crt')];
  const clusterKeyFile = join(folder, CLUSTER_KEY_FILE);
  if (!force) await refuseExisting([keyFile, certFile]);
  const authority = await openAuthority(dir, 'certs ca');
  const reads = keygroups && parseKeygroups(keygroups);
  const issued = await issueNode({ authority, nodeId, hosts: hosts.map(parseHost), days, reads }, clock.now());
  await writeFiles(folder, [
    { path: keyFile, content: issued.key, mode: KEY_MODE },
    { path: certFile, content: issued.certificate, mode: CERTIFICATE_MODE },
    { path: caFile, content: authority.certificate, mode: CERTIFICATE_MODE },
    { path: clusterKeyFile, content: await keepClusterKey(dir), mode: CLUSTER_KEY_MODE },
  ]);
  const files = { keyFile, certFile, caFile, clusterKeyFile };
  return { cluster: authority.cluster, folder, ...files, notAfterMs: issued.notAfterMs };
}

/** Of a FReD node and of the edge node beside it: `fred.key` and `fred.crt` are FReD's, and the rest the edge node's. */
export interface WrittenFredCertificates extends WrittenNodeCertificate {
  readonly fredCertFile: string;
  readonly fredKeyFile: string;
}

/**
 * Makes what a FReD node and the edge node beside it need in the folder `dir/<node id>`, signed by FReD's authority in `dir`. Throws
 * `certificate_unusable` as `makeNodeCertificate` does, and when `hosts` has no address: FReD looks for a client's in its certificate.
 */
export async function makeFredCertificates(
  { dir, nodeId, hosts, days, force }: NodeCertificateRequest,
  clock: Clock = systemClock(),
): Promise<WrittenFredCertificates> {
  const names = hosts.map(parseHost);
  if (names.every((name) => isIP(name) === 0)) {
    throw unusable(
      'FReD looks for the address of whoever calls it in their certificate; give one or more IP addresses',
    );
  }
  const folder = join(dir, nodeId);
  const [keyFile, certFile, caFile] = [join(folder, 'node.key'), join(folder, 'node.crt'), join(folder, 'ca.crt')];
  const [fredKeyFile, fredCertFile] = [join(folder, 'fred.key'), join(folder, 'fred.crt')];
  const clusterKeyFile = join(folder, CLUSTER_KEY_FILE);
  if (!force) await refuseExisting([keyFile, certFile, fredKeyFile, fredCertFile]);
  const authority = await openAuthority(dir, 'certs fred ca');
  const { fred, client } = await issueFredNode({ authority, nodeId, hosts: names, days }, clock.now());
  await writeFiles(folder, [
    { path: fredKeyFile, content: fred.key, mode: KEY_MODE },
    { path: fredCertFile, content: fred.certificate, mode: CERTIFICATE_MODE },
    { path: keyFile, content: client.key, mode: KEY_MODE },
    { path: certFile, content: client.certificate, mode: CERTIFICATE_MODE },
    { path: caFile, content: authority.certificate, mode: CERTIFICATE_MODE },
    { path: clusterKeyFile, content: await keepClusterKey(dir), mode: CLUSTER_KEY_MODE },
  ]);
  const files = { keyFile, certFile, caFile, clusterKeyFile, fredKeyFile, fredCertFile };
  return { cluster: authority.cluster, folder, ...files, notAfterMs: client.notAfterMs };
}

/** The cluster's key as its file has it, which is made where there is none: an authority may be of an earlier release. */
async function keepClusterKey(dir: string): Promise<string> {
  const path = join(dir, CLUSTER_KEY_FILE);
  const kept = await contentOf(path);
  if (kept !== undefined) return kept;
  const content = newClusterKey(systemEnvironment().random);
  await writeFiles(dir, [{ path, content, mode: CLUSTER_KEY_MODE }]);
  return content;
}

/** The command line's; it starts no node that would have one. */
function systemEnvironment(): Environment {
  return nodeEnvironment({ logLevel: 'silent', nodeId: 'certs' });
}

function systemClock(): Clock {
  return systemEnvironment().clock;
}

const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;

function authorityFiles(dir: string) {
  return { keyFile: join(dir, 'ca.key'), certFile: join(dir, 'ca.crt') };
}

async function openAuthority(dir: string, madeBy: 'certs ca' | 'certs fred ca'): Promise<Authority> {
  const { keyFile, certFile } = authorityFiles(dir);
  let files: { certificate: string; key: string };
  try {
    files = { certificate: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  } catch (cause) {
    throw unusable(
      `there is no authority in ${dir}: ${(cause as Error).message}; make one with "discedge ${madeBy}"`,
      cause,
    );
  }
  return readAuthority(files);
}

async function refuseExisting(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const exists = await stat(path).then(
      () => true,
      () => false,
    );
    if (exists) throw unusable(`${path} exists and is kept; --force replaces it`);
  }
}

async function writeFiles(
  folder: string,
  files: readonly { readonly path: string; readonly content: string; readonly mode: number }[],
): Promise<void> {
  try {
    await makeFolder(folder);
    for (const { path, content, mode } of files) await writeWhole(path, content, mode);
  } catch (cause) {
    throw unusable(`certificates cannot be written: ${(cause as Error).message}`, cause);
  }
}
