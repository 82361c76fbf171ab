/**
 * A socket that fails at the moment when the client library does not listen must not end the process. The server here
 * says what a nats-server says first and then resets, at every step of a connection's beginning.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { NodeTransport } from '@nats-io/transport-node/lib/node_transport.js';
import { afterEach, expect, test } from 'vitest';
import { NatsServerConnection } from '../../../src/context-store/nats/nats-connection.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../../src/environment/node-environment.ts';

const environment = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const INFO = `INFO ${JSON.stringify({ server_id: 'x', version: '2.15.1', proto: 1, max_payload: 1_048_576, headers: true })}\r\n`;
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    onConnection(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

test('an error after the library has stopped listening is heard by somebody', async () => {
  const port = await listen(() => {});
  const socket = await new NodeTransport().dial({ hostname: '127.0.0.1', port });
  socket.removeAllListeners();
  socket.removeAllListeners();
  expect(socket.listenerCount('error')).toBe(1);
  socket.emit('error', new Error('write after end'));
  socket.destroy();
});

const MANNERS: Readonly<Record<string, (socket: Socket) => void>> = {
  'before it says anything': (socket) => socket.resetAndDestroy(),
  'after its greeting': (socket) => socket.write(INFO, () => socket.resetAndDestroy()),
  'once it is connected'(socket) {
    socket.write(INFO);
    socket.once('data', () => socket.write('PONG\r\n', () => socket.end()));
  },
};

test.each(Object.entries(MANNERS))('a server that goes away %s is tried again', async (_, behave) => {
  let attempts = 0;
  let enough = () => {};
  const triedAgain = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const port = await listen((socket) => {
    if (++attempts === 3) enough();
    behave(socket);
  });
  const options = { url: `nats://127.0.0.1:${port}`, nodeId: 'a' as NodeId, tls: undefined };
  const connection = new NatsServerConnection(options, environment);
  connection.join({
    onUp: async (nats, signal) => {
      while (!signal.aborted) {
        nats.publish('x', 'y');
        await new Promise(setImmediate);
      }
    },
  });
  connection.start();
  await triedAgain;
  await connection.close();
});
