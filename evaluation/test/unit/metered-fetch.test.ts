/**
 * Fetches from servers that end connections, or the body, in their own way: tries to get bytes lost with a connection that
 * is gone, and connections given up that could have been used again.
 */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MeteredFetch } from '../../src/conversation/metered-fetch.ts';

const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const closing: (() => void)[] = [];
let metered: MeteredFetch;
beforeEach(() => {
  metered = new MeteredFetch(clock);
});
afterEach(() => {
  metered.close();
  for (const close of closing.splice(0)) close();
});

interface CountingServer {
  readonly url: string;
  readonly connections: () => number;
  /** Of all its sockets, from its own end. */
  readonly bytes: () => { readonly sent: number; readonly received: number };
}

async function serving(listener: RequestListener): Promise<CountingServer> {
  const sockets: { bytesRead: number; bytesWritten: number }[] = [];
  const server = createServer(listener);
  server.on('connection', (socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const sum = (of: (socket: (typeof sockets)[number]) => number) =>
    sockets.reduce((all, socket) => all + of(socket), 0);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => sockets.length,
    bytes: () => ({ sent: sum((socket) => socket.bytesRead), received: sum((socket) => socket.bytesWritten) }),
  };
}

const post = (url: string, body: string) =>
  metered.fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });

it('bytes stay counted when their connection is gone', async () => {
  const server = await serving((_, response) =>
    response.writeHead(200, { connection: 'close' }).end('x'.repeat(5_000)),
  );
  for (const body of ['{"a":1}', '{"b":22}', '{"c":333}']) {
    expect(await (await post(server.url, body)).text()).toHaveLength(5_000);
  }
  expect(server.connections()).toBe(3);
  expect(metered.bytes).toEqual(server.bytes());
});

it('a body whose reader leaves before its end is read on, and its connection used again', async () => {
  let endBody: () => void = () => {};
  const server = await serving((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: the last event\n\n');
    endBody = () => response.end();
  });
  for (let turn = 0; turn < 3; turn++) {
    const reader = ((await post(server.url, '{}')).body as ReadableStream<Uint8Array>).getReader();
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toContain('the last event');
    const left = reader.cancel();
    endBody();
    await left;
  }
  expect(server.connections()).toBe(1);
  expect(metered.bytes).toEqual(server.bytes());
});

it('a body that never ends does not hold up who has left it', async () => {
  const server = await serving((_, response) => response.writeHead(200).write('more to come'));
  const reader = ((await post(server.url, '{}')).body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  await reader.cancel();
  expect(server.connections()).toBe(1);
});

it('an aborted request rejects, and its bytes count', async () => {
  const stop = new AbortController();
  const server = await serving(() => stop.abort(new Error('enough')));
  await expect(metered.fetch(server.url, { method: 'POST', body: 'x', signal: stop.signal })).rejects.toThrow();
  expect(metered.bytes.sent).toBeGreaterThan(50);
});

it('statuses, headers and answers without a body are passed on', async () => {
  const server = await serving((request, response) =>
    request.url === '/none'
      ? response.writeHead(204).end()
      : response.writeHead(503, { 'retry-after-ms': '7' }).end('no'),
  );
  expect((await metered.fetch(`${server.url}/none`, { method: 'DELETE' })).status).toBe(204);
  const refused = await metered.fetch(`${server.url}/busy`, { method: 'GET' });
  expect([refused.status, refused.headers.get('retry-after-ms'), await refused.text()]).toEqual([503, '7', 'no']);
  expect(server.connections()).toBe(1);
});

it('a connection that breaks in the middle of a body is an error of who reads it', async () => {
  const server = await serving((_, response) => {
    response.writeHead(200, { 'content-length': '1000' }).write('half');
    response.socket?.end();
  });
  await expect((await post(server.url, '{}')).text()).rejects.toThrow();
});
