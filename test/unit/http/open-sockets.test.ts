// WebSockets of a server under a clock that moves when told to: clients that answer pings and one that does not, and a close while
// something is under way, with clients that agree to it and one that never does. What is left open holds the server open for ever.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { closeWithoutRequests } from '../../../src/http/connections/open-connections.ts';
import { OpenSockets, PING_EVERY_MS, SOCKET_CLOSE_MS } from '../../../src/http/connections/open-sockets.ts';
import { onUpgrade } from '../../../src/http/connections/upgrades.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../../tools/virtual-environment.ts';

let app: FastifyInstance;
let environment: VirtualEnvironment;
let sockets: OpenSockets;
/** The server's ends, in the order in which they came. */
let served: WebSocket[];
let underWay: Promise<unknown>;

beforeEach(async () => {
  environment = virtualEnvironment();
  sockets = new OpenSockets(environment.clock, {
    messageBytesMax: 1_000,
    onBadHandshake: (_, socket) => socket.destroy(),
  });
  served = [];
  underWay = Promise.resolve();
  app = Fastify({ forceCloseConnections: false });
  closeWithoutRequests(app);
  onUpgrade(app.server, (request, socket, head) => {
    sockets.open(request, socket, head, (client) => {
      served.push(client);
      return () => underWay;
    });
    return true;
  });
  app.addHook('preClose', () => sockets.close());
  await app.listen({ host: '127.0.0.1', port: 0 });
});
afterEach(() => app.close());

async function connected(options: { autoPong?: boolean } = {}): Promise<WebSocket> {
  const client = new WebSocket(`ws://127.0.0.1:${(app.server.address() as AddressInfo).port}`, options);
  await once(client, 'open');
  return client;
}
const codeOf = async (client: WebSocket) => (await once(client, 'close'))[0] as number;

test('a client that answers pings stays, one that does not is let go', async () => {
  const there = await connected();
  const gone = await connected({ autoPong: false });
  const [first] = served;
  for (let round = 0; round < 3; round++) {
    const answered = once(first as WebSocket, 'pong');
    const over = round === 1 ? codeOf(gone) : undefined;
    await environment.advance(PING_EVERY_MS);
    await answered;
    if (over !== undefined) expect(await over).toBe(1006);
  }
  expect(there.readyState).toBe(WebSocket.OPEN);
  const closed = codeOf(there);
  await app.close();
  expect(await closed).toBe(1001);
  expect(environment.pendingTimers).toBe(0);
});

test('at the end each client has what is under way before it is told to go', async () => {
  let finish = () => {};
  underWay = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const client = await connected();
  const code = codeOf(client);
  const said = once(client, 'message');
  const closing = app.close();
  await expect.poll(() => sockets.fault?.code).toBe('shutting_down');
  served[0]?.send('the last of it');
  finish();
  expect(String((await said)[0])).toBe('the last of it');
  expect(await code).toBe(1001);
  await closing;
});

test('neither what is never answered nor a client that never agrees holds the server open', async () => {
  underWay = new Promise(() => {});
  const client = await connected();
  client.pause();
  const closing = app.close();
  await expect.poll(() => sockets.fault?.code).toBe('shutting_down');
  await environment.advance(SOCKET_CLOSE_MS);
  await environment.advance(SOCKET_CLOSE_MS);
  await closing;
  client.terminate();
});
