import { createServer, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * How an answer is lost after the node has given it: another status in its place, the connection reset before it or, with
 * `cut`, in the middle of it.
 */
export type Loss = 409 | 500 | 'reset' | 'cut';

export interface LosingProxy {
  readonly url: string;
  /** What becomes of the next answers, in order: with `undefined` one arrives, as do those after the last. */
  readonly losses: (Loss | undefined)[];
  /** Bodies that the node answered with, of those that arrived too. */
  readonly answers: readonly string[];
  close(): Promise<void>;
}

/** How much of an answer that is cut arrives. */
const BYTES_BEFORE_CUT = 10;

/** Has each request answered by `target()`, and then loses the answers that are told off for it. */
export async function losingProxy(target: () => string): Promise<LosingProxy> {
  const losses: (Loss | undefined)[] = [];
  const answers: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method, headers, url } = incoming;
    const passed = send(`${target()}${url}`, { method, headers: { ...headers, connection: 'close' } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const body = Buffer.concat(chunks);
        answers.push(body.toString());
        const loss = losses.shift();
        if (loss === 'reset') return incoming.socket.resetAndDestroy();
        const status = typeof loss === 'number' ? loss : (answer.statusCode ?? 502);
        const type = answer.headers['content-type'] ?? 'application/json';
        if (typeof loss === 'number') return outgoing.writeHead(status, { 'content-type': type }).end('{}');
        outgoing.writeHead(status, { 'content-type': type, 'content-length': body.length });
        if (loss === undefined) return outgoing.end(body);
        outgoing.write(body.subarray(0, BYTES_BEFORE_CUT), () => incoming.socket.destroy());
      });
    });
    passed.on('error', () => outgoing.destroy());
    incoming.pipe(passed);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    losses,
    answers,
    close: () => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(() => closed()));
    },
  };
}
