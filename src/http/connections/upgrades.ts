import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { connectionEvent } from './tls-server.ts';

/** Connections that speak another protocol now. */
const upgraded = new WeakSet<Duplex>();

/** Whether a connection is no longer one of HTTP: who took it over closes it. */
export const isUpgraded = (socket: Duplex): boolean => upgraded.has(socket);

/** Takes over a connection that asks for another protocol; false where it is not meant. */
export type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;

/**
 * Offers connections that ask for another protocol to `listener`. Those that it does not take are served as plain HTTP, as a
 * server may (RFC 9110, 7.8): common clients offer HTTP/2 with every first request.
 */
export function onUpgrade(server: Server, listener: UpgradeListener): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (listener(request, socket, head)) {
      // Node.js has taken its own listener away, and an error that nobody hears ends the process.
      socket.on('error', () => socket.destroy());
      upgraded.add(socket);
      return;
    }
    socket.unshift(Buffer.concat([Buffer.from(headOf(request), 'latin1'), head]));
    server.emit(connectionEvent(server), socket);
  });
}

/** The request's head as it came, without what asks for another protocol. */
function headOf({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (/^(upgrade|connection|http2-settings)$/i.test(name)) continue;
    lines.push(`${name}: ${rawHeaders[at + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
