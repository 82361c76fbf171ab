import { setMaxListeners } from 'node:events';
import type { FastifyReply } from 'fastify';

/** Aborts when the connection closes before the reply is complete. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  // Of many replies side by side each listens; Node.js takes more than ten listeners for a leak, and prints so.
  setMaxListeners(0, gone.signal);
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort(new Error('the client closed the connection'));
  });
  return gone.signal;
}
