import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface RecordingProxy {
  readonly url: string;
  /** The `prompt` of every completion that passed, in order. */
  readonly prompts: readonly (readonly number[])[];
  close(): Promise<void>;
}

/** Passes requests on to a llama-server as they are, and keeps the prompts: what a node really had evaluated. */
export async function recordingProxy(target: string): Promise<RecordingProxy> {
  const prompts: number[][] = [];
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      const body = Buffer.concat(chunks);
      if (incoming.url === '/completion') prompts.push(JSON.parse(body.toString('utf8')).prompt);
      const { method, headers } = incoming;
      const passed = request(
        `${target}${incoming.url}`,
        { method, headers: { ...headers, connection: 'close' } },
        (answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
        },
      );
      passed.on('error', () => outgoing.destroy());
      outgoing.on('close', () => passed.destroy());
      passed.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    prompts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
