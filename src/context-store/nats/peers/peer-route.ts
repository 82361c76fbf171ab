import { DiscedgeError } from '../../../domain/errors.ts';
import type { NodeId } from '../../../domain/identifiers.ts';
import { isLoopbackHost } from '../../../domain/loopback.ts';
import type { Environment } from '../../../environment/environment.ts';
import { domainApi, OWN_API } from '../names.ts';
import { type NatsConnectionOptions, NatsServerConnection } from '../nats-connection.ts';

/** Where a peer is found: over which connection, and where its JetStream answers there. */
export interface PeerRoute {
  readonly connection: NatsServerConnection;
  /** Prefix of the JetStream API of the peer's server. */
  readonly api: string;
  /** Of the peer's server when it was first heard of, or `hub:` and the node whose server leads there. */
  readonly url: string;
  /**
   * Servers lie between: the connection stays up when the peer's server, or the hub, goes away, and what was asked of
   * them is forgotten without a sign.
   */
  readonly isThroughHub: boolean;
}

/** To a server of the peer's own, over a connection of its own. */
export function directRoute(options: NatsConnectionOptions, environment: Environment): PeerRoute {
  return {
    connection: new NatsServerConnection(options, environment),
    api: OWN_API,
    url: options.url,
    isThroughHub: false,
  };
}

/** Over a connection that there is, to a server of which the way to the peer's leads through `hub`. */
export function hubRoute(connection: NatsServerConnection, { peer, hub }: { peer: NodeId; hub: NodeId }): PeerRoute {
  return { connection, api: domainApi(peer), url: `hub:${hub}`, isThroughHub: true };
}

/** Throws `config_invalid` for an address on another machine where there are no certificates. */
export function requireProtected(url: string, hasCertificates: boolean): void {
  if (hasCertificates || isLoopbackUrl(url)) return;
  throw new DiscedgeError(
    'config_invalid',
    `peer ${url} is on another machine, and there are no certificates; make them with "discedge certs"`,
  );
}

export function isLoopbackUrl(url: string): boolean {
  try {
    const { hostname } = new URL(url.includes('://') ? url : `nats://${url}`);
    return isLoopbackHost(hostname);
  } catch {
    return false;
  }
}
