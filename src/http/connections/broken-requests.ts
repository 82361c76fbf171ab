import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Random } from '../../environment/environment.ts';
import { type ErrorEnvelope, errorHeaders } from '../error-reply.ts';
import { isShakingHands } from './tls-server.ts';

/** Requests that do not become one: not HTTP, too long, too late. They are answered in the envelope, on the bare socket. */
export class BrokenRequests {
  readonly #envelope: ErrorEnvelope;
  readonly #random: Random;
  readonly #replies = new WeakMap<object, ServerResponse>();

  constructor(envelope: ErrorEnvelope, random: Random) {
    this.#envelope = envelope;
    this.#random = random;
  }

  /** For Fastify's `clientErrorHandler`; the connection is closed. */
  answer(error: NodeJS.ErrnoException, socket: Socket): void {
    const reply = this.#replies.get(socket);
    const isInReply = reply?.headersSent === true && !reply.writableFinished;
    if (error.code === 'ECONNRESET' || !socket.writable || isInReply || isShakingHands(socket)) {
      socket.destroy(error);
      return;
    }
    answerOnSocket(asError(error), socket, { errors: this.#envelope, random: this.#random });
  }

  /** Learns which sockets have a reply under way, and takes what Node.js would answer in words of its own. */
  watch({ server }: FastifyInstance): void {
    server.on('request', (request, reply) => this.#replies.set(request.socket, reply));
    // An expectation that is not known may be passed over (RFC 9110, 10.1.1).
    server.on('checkExpectation', (request, reply) => server.emit('request', request, reply));
  }
}

/** Answers with an error where there is no reply to write it to, and closes the connection. */
export function answerOnSocket(
  error: DiscedgeError,
  socket: Socket,
  { errors, random }: { errors: ErrorEnvelope; random: Random },
): void {
  const body = JSON.stringify(errors.body(error));
  const headers = {
    'x-request-id': random.uuid(),
    ...errorHeaders(error),
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\n${lines.join('')}\r\n${body}`);
  socket.destroySoon();
}

function asError({ code }: NodeJS.ErrnoException): DiscedgeError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new DiscedgeError('headers_too_large', 'the URL and the headers are longer than this node reads');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new DiscedgeError('request_timeout', 'the request took too long to arrive');
    default:
      return new DiscedgeError(
        'invalid_request',
        `the request is not valid HTTP${code === undefined ? '' : ` (${code})`}`,
      );
  }
}
