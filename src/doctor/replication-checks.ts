import { connect } from 'node:net';
import { checkNodeCertificate } from '../certificates/node-certificate.ts';
import type { EdgeNodeConfig } from '../config/config.ts';
import { dialledHost, type NatsReplicationConfig, type Peer } from '../config/replication-config.ts';
import type { DiscedgeError } from '../domain/errors.ts';
import { usable } from './certificate-checks.ts';
import type { Check } from './check.ts';
import { checkFred } from './fred-checks.ts';

/** A peer that takes longer is as good as away: turns that wait for it wait a second. */
const PEER_WAIT_MS = 3_000;

/** What a node needs to share its contexts; nothing where it shares none. */
export async function checkReplication({ nodeId, replication }: EdgeNodeConfig, nowMs: number): Promise<Check[]> {
  if (replication === undefined) return [];
  if ('fred' in replication) return checkFred(replication);
  return [
    await checkServer(replication),
    ...(await checkCertificates(replication, nodeId, nowMs)),
    ...(await Promise.all(replication.peers.map(checkPeer))),
  ];
}

async function checkServer({ server }: NatsReplicationConfig): Promise<Check> {
  const name = 'nats-server';
  if ('url' in server) {
    const isThere = await answers(server.url);
    return isThere
      ? { name, outcome: 'ok', found: `${server.url} answers` }
      : {
          name,
          outcome: 'warn',
          found: `${server.url} does not answer`,
          fix: 'start it; until then nothing is shared',
        };
  }
  const { findNatsServer } = await import('../context-store/nats/server/nats-server-program.ts');
  try {
    const { path, version } = await findNatsServer(server.program);
    return { name, outcome: 'ok', found: `${path}, version ${version.major}.${version.minor}` };
  } catch (error) {
    return { name, outcome: 'missing', found: (error as DiscedgeError).message };
  }
}

async function checkCertificates(
  replication: NatsReplicationConfig,
  nodeId: EdgeNodeConfig['nodeId'],
  nowMs: number,
): Promise<Check[]> {
  const name = 'certificates';
  const { certificates, cluster } = replication;
  if (certificates === undefined) return [{ name, outcome: 'ok', found: 'none: peers on this machine only' }];
  try {
    const named = { nodeId, cluster, host: dialledHost(replication) };
    const { notAfterMs, reads } = await checkNodeCertificate(certificates, named, nowMs);
    const mayRead = reads === undefined ? '' : `, which may read ${reads.join(' and ')} alone`;
    const found = `${certificates.certFile} is ${nodeId}@${cluster}'s${mayRead}`;
    return [usable({ name, found, notAfterMs, nowMs, fix: 'renew it with "discedge certs node ... --force"' })];
  } catch (error) {
    return [{ name, outcome: 'missing', found: (error as DiscedgeError).message }];
  }
}

async function checkPeer({ nodeId, url }: Peer): Promise<Check> {
  const name = `peer ${nodeId}`;
  if (url === undefined) return { name, outcome: 'ok', found: 'reached through a hub' };
  return (await answers(url))
    ? { name, outcome: 'ok', found: `something listens at ${url}` }
    : {
        name,
        outcome: 'warn',
        found: `nothing answers at ${url}`,
        fix: 'it may be away; the node works alone until then',
      };
}

function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port), timeout: PEER_WAIT_MS });
    const settle = (isThere: boolean) => {
      socket.destroy();
      resolve(isThere);
    };
    socket
      .once('connect', () => settle(true))
      .once('timeout', () => settle(false))
      .once('error', () => settle(false));
  });
}
