import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CallCounts {
  /** Requests so far, by path. */
  readonly calls: Readonly<Record<string, number>>;
  readonly connections: number;
  /** Of the newest request, by path: how much of a conversation is sent. */
  readonly bodyBytes: Readonly<Record<string, number>>;
}

/** The whole answer to a request's body: JSON, or with `isStream` server-sent events in one piece. */
export type Answer = (body: string) => Promise<{ readonly text: string; readonly isStream?: boolean }>;

/**
 * Serves fixed answers by path, on a port of its own, with as little work as a stock HTTP server allows. As llama-server does,
 * it closes the connection after a stream, whatever it has advertised.
 */
export async function serveReplies(
  answers: Readonly<Record<string, Answer>>,
): Promise<{ readonly port: number; counts(): CallCounts }> {
  const calls: Record<string, number> = {};
  const bodyBytes: Record<string, number> = {};
  let connections = 0;
  const server: Server = createServer((request, response) => {
    const path = request.url ?? '';
    calls[path] = (calls[path] ?? 0) + 1;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      const body = Buffer.concat(chunks);
      bodyBytes[path] = body.length;
      const answer = answers[path];
      if (answer === undefined) {
        response.writeHead(404, { 'content-length': 0 }).end();
        return;
      }
      const { text, isStream = false } = await answer(body.toString());
      const type = isStream ? 'text/event-stream' : 'application/json';
      response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(text) }).end(text);
      if (isStream) request.socket.end();
    });
  });
  server.on('connection', (socket) => {
    connections++;
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, counts: () => ({ calls, connections, bodyBytes }) };
}
