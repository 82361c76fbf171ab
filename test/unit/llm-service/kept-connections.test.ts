// Tries to have connections to an LLM server pile up, outlive their use, or take what nobody asked for as an answer.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Connection, KeptConnections } from '../../../src/llm-service/http/kept-connections.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const UNUSED_MAX = 2;
const KEPT_MS = 1_000;

let server: Server;
let environment: ReturnType<typeof virtualEnvironment>;
let connections: KeptConnections;

beforeEach(async () => {
  server = createServer((socket) => socket.on('error', () => {}).on('data', (bytes) => socket.write(bytes)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  environment = virtualEnvironment();
  const { port } = server.address() as { port: number };
  const url = new URL(`http://127.0.0.1:${port}`);
  connections = new KeptConnections(url, { unusedMax: UNUSED_MAX, clock: environment.clock });
});
afterEach(async () => {
  connections.close();
  expect(environment.pendingTimers).toBe(0);
  await new Promise((resolve) => server.close(resolve));
});

/** One that has served an exchange: what is sent on it comes back. */
async function used(connection: Connection): Promise<Connection> {
  await new Promise<void>((resolve) => {
    connection.send('hello', { connected: () => {}, bytes: () => resolve(), closed: () => {} });
  });
  return connection;
}
const isClosed = ({ socket }: Connection) => socket.destroyed;

it('the one used last is used again', async () => {
  const [first, second] = [await used(connections.take()), await used(connections.take())];
  expect(second).not.toBe(first);
  connections.giveBack(first);
  connections.giveBack(second);
  expect(connections.take()).toBe(second);
  expect(connections.take()).toBe(first);
  for (const connection of [first, second]) connection.socket.destroy();
});

it('of more than are kept the one unused for longest is closed', async () => {
  const opened = await Promise.all(Array.from({ length: UNUSED_MAX + 1 }, () => used(connections.take())));
  for (const connection of opened) connections.giveBack(connection);
  expect(opened.map(isClosed)).toEqual([true, false, false]);
});

it('one that is not used for a second is closed, and others later', async () => {
  const [early, late] = [await used(connections.take()), await used(connections.take())];
  connections.giveBack(early);
  await environment.advance(KEPT_MS / 2);
  connections.giveBack(late);
  await environment.advance(KEPT_MS / 2 - 1);
  expect([early, late].map(isClosed)).toEqual([false, false]);
  await environment.advance(1);
  expect([early, late].map(isClosed)).toEqual([true, false]);
  await environment.advance(KEPT_MS / 2);
  expect(isClosed(late)).toBe(true);
});

it('one that the server has closed is not used again', async () => {
  const accepted = once(server, 'connection');
  const kept = await used(connections.take());
  connections.giveBack(kept);
  const [socket] = (await accepted) as [Socket];
  socket.end();
  await once(kept.socket, 'close');
  const next = connections.take();
  expect(next).not.toBe(kept);
  expect(next.isKept).toBe(false);
  await used(next);
  next.socket.destroy();
});

it('bytes that nobody asked for close it, and are the answer to nothing', async () => {
  const accepted = once(server, 'connection');
  const kept = await used(connections.take());
  const answers: Buffer[] = [];
  connections.giveBack(kept);
  const [socket] = (await accepted) as [Socket];
  socket.write('HTTP/1.1 200 OK\r\n\r\n');
  await once(kept.socket, 'close');
  const next = connections.take();
  await new Promise<void>((resolve) => {
    next.send('mine', {
      connected: () => {},
      bytes: (bytes) => {
        answers.push(bytes);
        resolve();
      },
      closed: () => {},
    });
  });
  expect(Buffer.concat(answers).toString()).toBe('mine');
  next.socket.destroy();
});
