import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { UNREAD_MS_MAX, UnreadBytes } from './backlog.ts';

declare module 'fastify' {
  interface FastifyInstance {
    unread: UnreadBytes;
  }
}

/**
 * Ends connections of clients that take nothing of what they were sent for `unreadMs`: replies that are complete, streams after
 * their end, pages. Who waits for a reply may do so, and connections without a request are ended when Node.js would.
 */
export function cutOffSlowReaders(
  app: FastifyInstance,
  { unreadMs = UNREAD_MS_MAX }: { readonly unreadMs?: number } = {},
): void {
  app.decorate('unread', new UnreadBytes());
  const { server } = app;
  // Any progress, of a part of a write as well, starts it anew.
  server.timeout = unreadMs;
  server.on('timeout', (socket: Socket) => {
    const isKeptAlive = socket.timeout !== unreadMs;
    if (isKeptAlive || socket.writableLength > 0) socket.destroy();
  });
}
