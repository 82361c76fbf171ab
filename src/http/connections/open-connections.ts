import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { connectionEvent, isTlsServer } from './tls-server.ts';
import { isUpgraded } from './upgrades.ts';

/**
 * Closes, when the app closes, every connection without a request to answer: at once those that are unused, also where nothing
 * was ever sent (as browsers open ahead of need, and Node.js counts as busy) or a request has come in part, and the others with
 * their reply. Those that speak another protocol are left to who took them over.
 */
export function closeWithoutRequests(app: FastifyInstance): void {
  const connections = new Map<Socket, Set<IncomingMessage>>();
  let isClosing = false;
  app.server.on(connectionEvent(app.server), (socket: Socket) => {
    // One that offered another protocol comes again, as often as its client likes.
    if (connections.has(socket)) return;
    connections.set(socket, new Set());
    socket.once('close', () => connections.delete(socket));
  });
  const unsecured = isTlsServer(app.server) ? handshakesOf(app.server) : new Map<string, Socket>();
  app.server.on('request', (request: IncomingMessage, reply: ServerResponse) => {
    const { socket } = request;
    const requests = connections.get(socket);
    requests?.add(request);
    reply.once('close', () => {
      requests?.delete(request);
      if (isClosing && requests?.size === 0) socket.destroySoon();
    });
  });
  app.addHook('preClose', async () => {
    isClosing = true;
    for (const socket of unsecured.values()) socket.destroy();
    for (const [socket, requests] of connections) {
      if (!isUpgraded(socket) && ![...requests].some(({ complete }) => complete)) socket.destroySoon();
    }
  });
}

/** Connections that have not got as far as TLS, which a client may never do, by its address. */
function handshakesOf(server: Server): ReadonlyMap<string, Socket> {
  const unsecured = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const address = addressOf(socket);
    unsecured.set(address, socket);
    // A client may have come again from there before its last connection is known to have ended.
    socket.once('close', () => {
      if (unsecured.get(address) === socket) unsecured.delete(address);
    });
  });
  // What it gives is another object than the connection below.
  server.on('secureConnection', (socket: Socket) => unsecured.delete(addressOf(socket)));
  return unsecured;
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
