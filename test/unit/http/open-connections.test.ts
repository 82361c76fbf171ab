// Keeps connections open at a server that closes: unused ones, such with half a request, and one whose reply is under way.
// What is not closed holds the server open for ever.
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import { beforeEach, expect, test } from 'vitest';
import { closeWithoutRequests } from '../../../src/http/connections/open-connections.ts';
import { onUpgrade } from '../../../src/http/connections/upgrades.ts';

let app: FastifyInstance;
let asked: Promise<void>;
let letAnswer: () => void;

beforeEach(async () => {
  app = Fastify({ forceCloseConnections: false });
  closeWithoutRequests(app);
  const answered = new Promise<void>((resolve) => {
    letAnswer = resolve;
  });
  asked = new Promise((resolve) => {
    app.post('/', async () => {
      resolve();
      await answered;
      return 'whole reply';
    });
  });
  app.get('/', async () => 'at once');
  await app.listen({ host: '127.0.0.1', port: 0 });
});

/** A connection that the server knows of. */
async function connected(): Promise<Socket> {
  const accepted = once(app.server, 'connection');
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  await accepted;
  return socket;
}

const ended = (socket: Socket) => once(socket.resume(), 'close');

test.each([
  ['nothing was sent', ''],
  ['half of the headers were sent', 'POST / HTTP/1.1\r\nhost: x\r\n'],
  [
    'half of the body was sent',
    'POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nabc',
  ],
])('a connection on which %s is closed', async (_, sent) => {
  const socket = await connected();
  const end = ended(socket);
  const arrived = sent.includes('\r\n\r\n') ? once(app.server, 'request') : undefined;
  if (sent !== '') socket.write(sent);
  await arrived;
  await app.close();
  await end;
});

test('a connection that was used is closed', async () => {
  const socket = await connected();
  const answer = once(socket, 'data');
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await answer;
  const end = ended(socket);
  await app.close();
  await end;
});

test('a reply under way is sent whole, and its connection is closed with it', async () => {
  const socket = await connected();
  const read = (async () => {
    let text = '';
    for await (const data of socket) text += data;
    return text;
  })();
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nabc');
  await asked;
  const closing = app.close();
  letAnswer();
  expect(await read).toMatch(/^HTTP\/1.1 200 OK[\s\S]*whole reply$/);
  await closing;
});

test('a connection that offers another protocol again and again keeps nothing of it', async () => {
  onUpgrade(app.server, () => false);
  const connection = once(app.server, 'connection');
  const socket = await connected();
  const [served] = (await connection) as [Socket];
  const listeners = () => served.eventNames().map((name) => [name, served.listenerCount(name)]);
  const offer = async () => {
    const answer = once(socket, 'data');
    socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n');
    expect(String(await answer)).toContain('at once');
  };
  await offer();
  const before = listeners();
  for (let i = 0; i < 20; i++) await offer();
  expect(listeners()).toEqual(before);
  socket.destroy();
});
