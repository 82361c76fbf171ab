import { type ClusterName, type NodeId, parseClusterName, parseNodeId } from '../domain/identifiers.ts';
import { isLoopbackHost } from '../domain/loopback.ts';
import { certificatesIn, type NodeCertificateFiles } from './certificate-files.ts';
import type { Complain } from './given-settings.ts';
import { hostForOthers, isWildcard, type ListenAddress, originOf, parseListenAddress } from './listen-address.ts';
import type { SettingName, Settings } from './settings/settings.ts';

/** How a node shares its contexts, whatever carries them. */
interface Sharing {
  readonly cluster: ClusterName;
  /** Those that are named; others are learned of. */
  readonly peers: readonly Peer[];
  /** Nodes that are shut out. */
  readonly excluded: readonly NodeId[];
  readonly location: { readonly latitude: number; readonly longitude: number } | undefined;
  /** Whether records that are not signed by their writer are refused. */
  readonly requiresSignatures: boolean;
}

/** Over NATS. */
export interface NatsReplicationConfig extends Sharing {
  readonly server: NatsServerChoice;
  /** Where peers reach that server; `undefined`: where it listens. */
  readonly advertisedServer: ListenAddress | undefined;
  readonly hub: Hub | undefined;
  /** Paths of PEM files; `undefined`: only peers on this machine. */
  readonly certificates: NodeCertificateFiles | undefined;
}

/** Over FReD. */
export interface FredReplicationConfig extends Sharing {
  readonly fred: FredAddresses;
  /** Paths of PEM files; FReD takes nobody without. */
  readonly certificates: NodeCertificateFiles;
}

export interface FredAddresses {
  /** Of the client port of this node's FReD node. */
  readonly node: ListenAddress;
  /** Where what FReD's triggers tell is listened for. */
  readonly triggerListen: ListenAddress;
  /** Where FReD reaches that; `undefined`: where it listens. */
  readonly triggerAdvertised: ListenAddress | undefined;
}

export type ReplicationConfig = NatsReplicationConfig | FredReplicationConfig;

/** The nats-server of this node: one that it starts, or one that runs. */
export type NatsServerChoice = StartedServer | { readonly url: string };

export interface StartedServer {
  readonly program: string;
  readonly listen: ListenAddress;
  readonly bytesMax: number;
  /** Where nodes that can only dial out are taken in; `undefined`: nowhere. */
  readonly hubListen: ListenAddress | undefined;
}

/** The node through which this one, which can only dial out, is reached. */
export interface Hub {
  readonly nodeId: NodeId;
  readonly address: ListenAddress;
}

export interface Peer {
  readonly nodeId: NodeId;
  /** Of its nats-server; `undefined` for a node that is reached through a hub. */
  readonly url: string | undefined;
}

/** Stands for an address that has been complained about. */
const NOWHERE: ListenAddress = { host: '127.0.0.1', port: 0 };

/** Complains about everything that is wrong; what it returns is to be used only when there was no complaint. */
export function readNatsReplication(
  settings: Settings,
  nodeId: NodeId | undefined,
  complain: Complain,
): NatsReplicationConfig {
  const { store, natsListen, natsProgram, natsBytesMax, natsAdvertise, certsDir } = settings;
  const address = (setting: SettingName, text: string) => readAddress(setting, text, complain);
  const url = natsUrlOf(store);
  if (url !== undefined && certsDir === undefined && !isLoopbackHost(new URL(url).hostname)) {
    complain('store', `(${store}) is another machine, which needs certs-dir; "discedge certs" makes it`);
  }
  if (settings.requireSignedRecords && certsDir === undefined)
    complain('requireSignedRecords', 'needs certs-dir, whose key records are signed with');
  const listen = address('natsListen', natsListen);
  if (url === undefined && certsDir === undefined && !isLoopbackHost(listen.host)) {
    complain(
      'natsListen',
      `(${natsListen}) can be reached from other machines and needs certs-dir; "discedge certs" makes it`,
    );
  }
  const hubListen = settings.hubListen === undefined ? undefined : address('hubListen', settings.hubListen);
  if (hubListen !== undefined && certsDir === undefined && !isLoopbackHost(hubListen.host)) {
    complain(
      'hubListen',
      `(${settings.hubListen}) can be reached from other machines and needs certs-dir; "discedge certs" makes it`,
    );
  }
  if (settings.hub !== undefined && hubListen !== undefined)
    complain('hub', 'excludes hub-listen: a hub dials no other');
  return {
    cluster: readCluster(settings.cluster, complain),
    server: url === undefined ? { program: natsProgram, listen, bytesMax: natsBytesMax, hubListen } : { url },
    advertisedServer: natsAdvertise === undefined ? undefined : address('natsAdvertise', natsAdvertise),
    peers: readPeers(settings, nodeId, complain),
    hub: readHub(settings, nodeId, complain),
    excluded: readExcluded(settings, nodeId, complain),
    certificates: certsDir === undefined ? undefined : certificatesIn(certsDir),
    requiresSignatures: settings.requireSignedRecords,
    location: readLocation(settings.location, complain),
  };
}

/** As {@link readNatsReplication}. */
export function readFredReplication(
  settings: Settings,
  nodeId: NodeId | undefined,
  complain: Complain,
): FredReplicationConfig {
  const { store, fredCertsDir, fredTriggerListen, fredTriggerAdvertise, peers } = settings;
  if (fredCertsDir === undefined)
    complain('store', `(${store}) needs fred-certs-dir: FReD takes nobody without a certificate`);
  if (peers !== undefined) complain('peers', 'is for NATS: FReD knows its nodes, and they tell of each other there');
  const listen = readAddress('fredTriggerListen', fredTriggerListen, complain);
  if (fredTriggerAdvertise === undefined && isWildcard(listen))
    complain(
      'fredTriggerListen',
      `(${fredTriggerListen}) is no address that FReD can dial: give fred-trigger-advertise`,
    );
  return {
    cluster: readCluster(settings.cluster, complain),
    peers: [],
    excluded: readExcluded(settings, nodeId, complain),
    location: readLocation(settings.location, complain),
    certificates: certificatesIn(fredCertsDir ?? ''),
    requiresSignatures: settings.requireSignedRecords,
    fred: {
      node: fredAddressOf(store) ?? NOWHERE,
      triggerListen: listen,
      triggerAdvertised:
        fredTriggerAdvertise === undefined
          ? undefined
          : readAddress('fredTriggerAdvertise', fredTriggerAdvertise, complain),
    },
  };
}

/** What `fred://HOST:PORT` says; `undefined` for anything else. */
export function fredAddressOf(store: string): ListenAddress | undefined {
  const address = /^fred:\/\/(.+?)\/?$/.exec(store)?.[1];
  return address === undefined ? undefined : parseListenAddress(address);
}

function readAddress(setting: SettingName, text: string, complain: Complain): ListenAddress {
  const parsed = parseListenAddress(text);
  if (parsed === undefined) complain(setting, `must be HOST:PORT, such as 10.0.0.1:4222 or [::1]:4222, not "${text}"`);
  return parsed ?? NOWHERE;
}

/** Where peers dial the server that the node starts; `undefined` where they dial another, or, behind a hub, none. */
export function dialledHost({ server, advertisedServer, hub }: NatsReplicationConfig): string | undefined {
  if ('url' in server || hub !== undefined) return undefined;
  return advertisedServer?.host ?? hostForOthers(server.listen);
}

/** URL of a nats-server. */
export function natsUrl({ host, port }: ListenAddress): string {
  return originOf({ host, port }).replace(/^http:/, 'nats:');
}

/** What `nats://HOST:PORT` says; `undefined` for anything else. */
export function natsUrlOf(store: string): string | undefined {
  const address = /^nats:\/\/(.+?)\/?$/.exec(store)?.[1];
  const parsed = address === undefined ? undefined : parseListenAddress(address);
  return parsed === undefined ? undefined : natsUrl(parsed);
}

function readCluster(text: string, complain: Complain): ClusterName {
  try {
    return parseClusterName(text);
  } catch (error) {
    complain('cluster', `is refused: ${(error as Error).message}`);
    return '' as ClusterName;
  }
}

function readPeers(settings: Settings, self: NodeId | undefined, complain: Complain): Peer[] {
  const { peers = '', hub, hubListen } = settings;
  const readThroughHub = (id: string) => {
    if (!isNode(id) || (hub === undefined && hubListen === undefined)) {
      complain('peers', `must be ID=HOST:PORT, such as e2=10.0.0.2:4222, not "${id}"; an ID alone needs a hub between`);
      return undefined;
    }
    return { nodeId: id, address: undefined };
  };
  const read: Peer[] = [];
  for (const item of items(peers)) {
    const peer = item.includes('=') ? readNode('peers', item, { settings, self, complain }) : readThroughHub(item);
    if (peer === undefined) continue;
    if (read.some(({ nodeId }) => nodeId === peer.nodeId)) complain('peers', `names ${peer.nodeId} twice`);
    else read.push({ nodeId: peer.nodeId, url: peer.address && natsUrl(peer.address) });
  }
  return read;
}

function readExcluded({ exclude = '' }: Settings, self: NodeId | undefined, complain: Complain): NodeId[] {
  const ids = items(exclude);
  for (const id of ids) {
    if (!isNode(id)) complain('exclude', `names "${id}", which is not a node id`);
    else if (id === self) complain('exclude', `names this node itself, ${id}`);
  }
  return ids as NodeId[];
}

function items(list: string): string[] {
  return list
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
}

function readHub(settings: Settings, self: NodeId | undefined, complain: Complain): Hub | undefined {
  const { hub } = settings;
  return hub === undefined ? undefined : readNode('hub', hub, { settings, self, complain });
}

function readNode(
  setting: 'peers' | 'hub',
  text: string,
  { settings, self, complain }: { settings: Settings; self: NodeId | undefined; complain: Complain },
): Hub | undefined {
  const [, id = '', place = ''] = /^([^=]+)=(?:nats:\/\/)?(.+)$/.exec(text) ?? [];
  const address = parseListenAddress(place);
  if (address === undefined) complain(setting, `must be ID=HOST:PORT, such as e2=10.0.0.2:4222, not "${text}"`);
  else if (!isNode(id)) complain(setting, `names "${id}", which is not a node id`);
  else if (id === self) complain(setting, `names this node itself, ${id}`);
  else if (settings.certsDir === undefined && !isLoopbackHost(address.host)) {
    complain(setting, `names another machine, ${text}, which needs certs-dir; "discedge certs" makes it`);
  } else return { nodeId: id, address };
  return undefined;
}

function isNode(text: string): text is NodeId {
  try {
    parseNodeId(text);
    return true;
  } catch {
    return false;
  }
}

function readLocation(text: string | undefined, complain: Complain): ReplicationConfig['location'] {
  if (text === undefined) return undefined;
  const [, latitude, longitude] = /^(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)$/.exec(text) ?? [];
  const location = { latitude: Number(latitude), longitude: Number(longitude) };
  if (!(Math.abs(location.latitude) <= 90 && Math.abs(location.longitude) <= 180)) {
    complain('location', `must be latitude and longitude in degrees, such as 52.5123,13.3269, not "${text}"`);
  }
  return location;
}
