import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type SecureContextOptions, TLSSocket, type TlsOptions, Server as TlsServer } from 'node:tls';

/** What a server speaks TLS with, as PEM. */
export interface TlsParts {
  readonly cert: string;
  readonly key: string;
  /** Authorities of clients, all of which then need a certificate. */
  readonly clientCa?: string | undefined;
}

/** A bad link takes seconds for a handshake; a port scanner must not hold a connection longer. */
const HANDSHAKE_MS_MAX = 10_000;

export function tlsServerOptions(parts: TlsParts): TlsOptions {
  return {
    ...secureContextOptions(parts),
    handshakeTimeout: HANDSHAKE_MS_MAX,
    ...(parts.clientCa !== undefined && { requestCert: true, rejectUnauthorized: true }),
  };
}

/** What a server that is open can take up anew. */
export function secureContextOptions({ cert, key, clientCa }: TlsParts): SecureContextOptions {
  return { cert, key, ca: clientCa, minVersion: 'TLSv1.2' };
}

export function isTlsServer(server: object): boolean {
  return server instanceof TlsServer;
}

/** What a server tells of connections that HTTP can be spoken on. */
export function connectionEvent(server: Server): 'connection' | 'secureConnection' {
  return isTlsServer(server) ? 'secureConnection' : 'connection';
}

/** Whether nothing can be said on the connection yet that its client would understand. */
export function isShakingHands(socket: Duplex): boolean {
  return (
    socket instanceof TLSSocket && (socket as TLSSocket & { secureConnecting?: boolean }).secureConnecting === true
  );
}
