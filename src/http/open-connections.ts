import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { isUpgraded } from './upgrades.ts';

/**
 * Closes, when the app closes, every connection without a request to answer: at once those that are unused, also where nothing
 * was ever sent (as browsers open ahead of need, and Node.js counts as busy) or a request has come in part, and the others with
 * their reply. Those that speak another protocol are left to who took them over.
 */
export function closeWithoutRequests(app: FastifyInstance): void {
  const connections = new Map<Socket, Set<IncomingMessage>>();
  let isClosing = false;
  app.server.on('connection', (socket: Socket) => {
    connections.set(socket, new Set());
    socket.once('close', () => connections.delete(socket));
  });
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
    for (const [socket, requests] of connections) {
      if (!isUpgraded(socket) && ![...requests].some(({ complete }) => complete)) socket.destroySoon();
    }
  });
}
