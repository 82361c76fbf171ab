import { DiscedgeError } from '../../../domain/errors.ts';
import type { ClusterName, KeygroupId, NodeId } from '../../../domain/identifiers.ts';
import { isLoopbackHost } from '../../../domain/loopback.ts';
import { RECORD_BYTES_MAX } from '../../../domain/record/record-codec.ts';
import type { LimitedNode } from '../../replication/peers/reading-rights.ts';
import { guestName, type PermittedNode, userName } from '../names.ts';
import {
  behindHubPermissions,
  directPermissions,
  excludedPermissions,
  guestPermissions,
  type Permissions,
} from './server-permissions.ts';

/** What one node's nats-server needs to know. */
export interface NatsServerSettings {
  readonly nodeId: NodeId;
  readonly listen: HostAndPort;
  /** Folder of JetStream; nobody else's. */
  readonly storeDir: string;
  /** Whether JetStream encrypts it, with the key that the server's environment has as {@link STORE_KEY_VARIABLE}. */
  readonly isEncrypted?: boolean | undefined;
  /** How much of the disk the streams may take. What has no room there is not published yet. */
  readonly maxFileBytes: number;
  /** Without it only this machine is served, and everyone on it may do everything. */
  readonly tls?: NatsServerTls | undefined;
  /** Nodes whose certificates are let in. Any other of the cluster may knock, and nothing else. */
  readonly peers: readonly NodeId[];
  /** Of nodes whose certificates list what they may read, what each such certificate lets its node do. */
  readonly limited?: readonly LimitedNode[] | undefined;
  /** What this node's own certificate lists. */
  readonly reads?: readonly KeygroupId[] | undefined;
  /** Nodes that may not even knock, whatever `peers` and `limited` say. */
  readonly excluded?: readonly NodeId[] | undefined;
}

export interface HostAndPort {
  /** Name or address, IPv6 without brackets. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** Paths of PEM files, and the cluster that the certificates were made for. */
export interface NatsServerTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly cluster: ClusterName;
}

/** For nodes that can only dial out. Servers from 2.10 on compress these links unless told not to; earlier ones do not know the word. */
export interface LeafLink {
  readonly address: HostAndPort;
  readonly serverVersion: { readonly major: number; readonly minor: number };
}

/** The configuration is a file, which is no place for a key. */
export const STORE_KEY_VARIABLE = 'DISCEDGE_JETSTREAM_KEY';
/** nats-server's own bound on the records' way through a stream is 8 MB, which is also the longest record. */
const PAYLOAD_BYTES_MAX = RECORD_BYTES_MAX;
/** JetStream on file keeps only bookkeeping in memory. */
const JETSTREAM_MEMORY = '64MB';
/** A TLS handshake over a bad link takes seconds; a port scanner must not hold a connection longer. */
const TLS_TIMEOUT_SECONDS = 5;
/** Nodes ping their servers, so the server need not: a second pair of pings would double the idle traffic. */
const PING_INTERVAL = '2m';
/** Behind a hub a node sees only its own server, so the servers look after the links between them. */
const LEAF_PING_INTERVAL = '10s';
const PINGS_OUT_MAX = 2;
/** A peer that reads nothing for so long is cut off, before what waits for it fills the memory. */
const WRITE_DEADLINE = '10s';
const LEAF_RECONNECT_SECONDS = 1;

/**
 * Configuration text of a node's server, for peers that reach it directly. The node itself may do everything; each peer
 * may create and read its own consumers, hear announcements and ask for back-fill; other nodes of the cluster may knock,
 * and certificates of no node of the cluster are refused.
 * Throws `config_invalid` when it would listen beyond this machine without certificates.
 */
export function natsServerConfig(settings: NatsServerSettings): string {
  return serverConfig(settings, {
    pingInterval: PING_INTERVAL,
    peerPermissions: (peer) => directPermissions(settings.nodeId, peer),
  });
}

/**
 * As {@link natsServerConfig}, and also accepts the servers of nodes that can only dial out, at `link.address`.
 * A node behind it may do at another node what a direct peer may. Links keep the permissions they were made with, so a
 * hub whose peers change needs a restart in place of a reload. Throws `config_invalid` also for a hub that may not read everything.
 */
export function hubServerConfig(settings: NatsServerSettings, link: LeafLink): string {
  refuseOpenListener(link.address, settings.tls);
  if (settings.reads !== undefined) {
    const reason = 'a hub carries the records of all nodes behind it, and its certificate lists keygroups';
    throw new DiscedgeError('config_invalid', `${reason}; make one without --keygroups for it`);
  }
  return serverConfig(settings, {
    pingInterval: LEAF_PING_INTERVAL,
    domain: settings.nodeId,
    leafnodes: [`listen: ${quoted(hostAndPort(link.address))}`, ...tlsBlock(settings.tls), ...compression(link)],
    peerPermissions: (peer) => behindHubPermissions(settings, peer),
  });
}

/** As {@link natsServerConfig}, for a node that dials out to the hub at `link.address` and shares records through it. */
export function leafServerConfig(settings: NatsServerSettings, link: LeafLink): string {
  const { tls } = settings;
  if (tls === undefined && !isLoopbackHost(link.address.host)) {
    throw new DiscedgeError(
      'config_invalid',
      `the hub ${hostAndPort(link.address)} is another machine, and there are no certificates; make them with "discedge certs"`,
    );
  }
  const url = `${tls === undefined ? 'nats-leaf' : 'tls'}://${hostAndPort(link.address)}`;
  const remote = block('', [
    `urls: [ ${quoted(url)} ]`,
    ...tlsBlock(tls, { acceptsClients: false }),
    ...compression(link),
  ]);
  return serverConfig(settings, {
    pingInterval: LEAF_PING_INTERVAL,
    domain: settings.nodeId,
    leafnodes: [`reconnect: ${LEAF_RECONNECT_SECONDS}`, 'remotes: [', ...indented(remote), ']'],
    // Peers come through the hub, and the hub has checked what they may do.
    peerPermissions: undefined,
  });
}

interface Topology {
  readonly pingInterval: string;
  readonly domain?: NodeId;
  readonly leafnodes?: readonly string[];
  readonly peerPermissions: ((peer: PermittedNode) => Permissions) | undefined;
}

function serverConfig(settings: NatsServerSettings, topology: Topology): string {
  const { nodeId, listen, storeDir, isEncrypted, maxFileBytes, tls } = settings;
  refuseOpenListener(listen, tls);
  const lines = [
    `server_name: ${quoted(nodeId)}`,
    `listen: ${quoted(hostAndPort(listen))}`,
    ...block('jetstream', [
      `store_dir: ${quoted(storeDir)}`,
      `max_mem: ${JETSTREAM_MEMORY}`,
      `max_file: ${maxFileBytes}`,
      // AES-256-GCM where a processor has AES; the other cipher is ChaCha20-Poly1305.
      ...(isEncrypted === true ? ['cipher: aes', `key: $${STORE_KEY_VARIABLE}`] : []),
      ...(topology.domain === undefined ? [] : [`domain: ${quoted(topology.domain)}`]),
    ]),
    `max_payload: ${PAYLOAD_BYTES_MAX}`,
    `ping_interval: ${quoted(topology.pingInterval)}`,
    `ping_max: ${PINGS_OUT_MAX}`,
    `write_deadline: ${quoted(WRITE_DEADLINE)}`,
    ...tlsBlock(tls),
    ...(tls === undefined ? [] : authorization(settings, tls, topology)),
    ...(topology.leafnodes === undefined ? [] : block('leafnodes', topology.leafnodes)),
  ];
  return `${lines.join('\n')}\n`;
}

function authorization(
  { nodeId, peers, limited = [], reads, excluded = [] }: NatsServerSettings,
  { cluster }: NatsServerTls,
  { peerPermissions }: Topology,
): string[] {
  const users = block('', [`user: ${quoted(userName({ nodeId, cluster, reads }))}`]);
  if (peerPermissions !== undefined) {
    const shutOut = new Set(excluded);
    const named: readonly PermittedNode[] = [...new Set([...peers, ...shutOut])].map((peer) => ({ nodeId: peer }));
    for (const peer of [...named, ...limited].filter((other) => other.nodeId !== nodeId)) {
      const permissions = shutOut.has(peer.nodeId) ? excludedPermissions : peerPermissions(peer);
      users.push(...user(userName({ ...peer, cluster }), permissions));
    }
    users.push(...user(guestName(cluster), guestPermissions(nodeId)));
  }
  return block('authorization', ['users: [', ...indented(users), ']']);
}

function user(name: string, { publish, subscribe }: Permissions): string[] {
  return block('', [
    `user: ${quoted(name)}`,
    ...block('permissions', [`publish: ${list(publish)}`, `subscribe: ${list(subscribe)}`]),
  ]);
}

function tlsBlock(tls: NatsServerTls | undefined, { acceptsClients = true } = {}): string[] {
  if (tls === undefined) return [];
  return block('tls', [
    `cert_file: ${quoted(tls.certFile)}`,
    `key_file: ${quoted(tls.keyFile)}`,
    `ca_file: ${quoted(tls.caFile)}`,
    `timeout: ${TLS_TIMEOUT_SECONDS}`,
    ...(acceptsClients ? ['verify_and_map: true'] : []),
  ]);
}

function compression({ serverVersion: { major, minor } }: LeafLink): string[] {
  return major > 2 || (major === 2 && minor >= 10) ? ['compression: off'] : [];
}

function refuseOpenListener(listen: HostAndPort, tls: NatsServerTls | undefined): void {
  if (tls !== undefined || isLoopbackHost(listen.host)) return;
  throw new DiscedgeError(
    'config_invalid',
    `nats-server would listen at ${hostAndPort(listen)} without certificates, open to everyone; ` +
      'make certificates with "discedge certs" or listen at 127.0.0.1',
  );
}

function hostAndPort({ host, port }: HostAndPort): string {
  // nats-server's word for "any free port" is -1; 0 would be its default port.
  return `${host.includes(':') ? `[${host}]` : host}:${port === 0 ? -1 : port}`;
}

/** A string as nats-server reads it, whatever it holds. */
export function quoted(text: string): string {
  const escaped = text.replaceAll(
    /["\\\u0000-\u001f\u007f]/g,
    (character) => ESCAPES[character] ?? hexEscape(character),
  );
  return `"${escaped}"`;
}

const ESCAPES: Readonly<Record<string, string>> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function hexEscape(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

function list(strings: readonly string[]): string {
  return `[${strings.map(quoted).join(', ')}]`;
}

function block(name: string, lines: readonly string[]): string[] {
  return [`${name} {`.trimStart(), ...indented(lines), '}'];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
