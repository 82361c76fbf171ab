// Tries to have bytes taken for a reply, or for its end, that are none; to have connections to an LLM server pile up or outlive their
// use; and to bring down a node over a reply that it does not read. The server is a bare socket, as no real one answers like this.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConnectionPool } from '../../../src/llm-service/http/connection-pool.ts';
import { Exchange } from '../../../src/llm-service/http/exchange.ts';
import { ServerConnection } from '../../../src/llm-service/http/server-connection.ts';
import { LLAMA_SERVER } from '../../../src/llm-service/llama-server/server-errors.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const HEAD = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${HEAD}transfer-encoding: chunked\r\n\r\n`;
const withLength = (body: string) => `${HEAD}content-length: ${body.length}\r\n\r\n${body}`;

let server: Server;
let environment: ReturnType<typeof virtualEnvironment>;
let connection: ServerConnection;
/** What the server does with a request's path. */
let answer: (socket: Socket, path: string) => void;
let sockets: Socket[];
let requests: string[];

beforeEach(async () => {
  sockets = [];
  requests = [];
  answer = (socket, path) => socket.write(withLength(JSON.stringify(path)));
  server = createServer((socket) => {
    sockets.push(socket);
    socket
      .on('error', () => {})
      .on('data', (bytes) => {
        const path = bytes.toString().split(' ')[1] as string;
        requests.push(path);
        answer(socket, path);
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  environment = virtualEnvironment();
  connection = connect();
});
afterEach(async () => {
  connection.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  expect(environment.pendingTimers).toBe(0);
});

const origin = (scheme = 'http') => `${scheme}://127.0.0.1:${(server.address() as { port: number }).port}`;
function connect(url = origin()) {
  const options = { url, apiKey: undefined, connectTimeoutMs: 5_000, idleTimeoutMs: 5_000 };
  return new ServerConnection(LLAMA_SERVER, options, environment);
}

const closedOf = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

/** The error's code for what the server answers with before it closes the connection. */
async function codeOf(text: string, closed: (socket: Socket) => void = (socket) => socket.end()): Promise<string> {
  answer = (socket) => socket.write(text, 'latin1', () => closed(socket));
  return connection.get('a').then(
    () => 'none',
    (error) => error.code,
  );
}

describe('a reply', () => {
  it('is whole with its length, its last chunk, or its connection where it names neither', async () => {
    const interim = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n';
    for (const text of [
      withLength('"abc"'),
      interim + withLength('"abc"'),
      `${CHUNKED}2\r\n"a\r\n3;name=value\r\nbc"\r\n0\r\nx-checksum: 1\r\n\r\n`,
      `${HEAD}\r\n"abc"`,
      'HTTP/1.0 200 OK\r\n\r\n"abc"',
    ]) {
      answer = (socket) => socket.end(text);
      expect(await connection.get('a'), text).toBe('abc');
    }
  });

  it('is whole in single bytes, too', async () => {
    answer = async (socket) => {
      for (const byte of `${CHUNKED}5\r\n"abc"\r\n0\r\n\r\n`) {
        await new Promise<void>((resolve) => void socket.write(byte, () => resolve()));
      }
    };
    expect(await connection.get('a')).toBe('abc');
  });

  it('that is cut short is unavailable, however its connection ends', async () => {
    const close = 'connection: close\r\n';
    for (const text of [
      '',
      'HTTP/1.1 2',
      `${HEAD}content-len`,
      `${HEAD}content-length: 5\r\n\r\n"ab`,
      `${HEAD}${close}content-length: 5\r\n\r\n"ab`,
      `${CHUNKED}5\r\n"ab`,
      `${CHUNKED}5\r\n"abc"\r\n0\r\n`,
      `${HEAD}${close}transfer-encoding: chunked\r\n\r\n5\r\n"ab`,
    ]) {
      expect(await codeOf(text), text).toBe('llm_unavailable');
      expect(await codeOf(text, (socket) => socket.resetAndDestroy()), text).toBe('llm_unavailable');
    }
  });

  it('that is not plainly one is a bad reply', async () => {
    const head = (line: string) => `${HEAD}${line}\r\n\r\n12345`;
    for (const text of [
      'SSH-2.0-OpenSSH_9.2\r\n',
      'HTTP/1.1 OK\r\n\r\n',
      'HTTP/1.1 2000 OK\r\n\r\n',
      head('no colon'),
      head(': no name'),
      head('content-length: -1'),
      head('content-length: 0x10'),
      head('content-length: 5, 5'),
      head('content-length: 5\r\ncontent-length: 6'),
      head('content-length: 99999999999999999999'),
      head('content-length: 5\r\ntransfer-encoding: chunked'),
      head('transfer-encoding: chunked\r\ncontent-length: 5'),
      head(`x: ${'y'.repeat(20_000)}`),
      `${HEAD}x: ${'y'.repeat(20_000)}`,
      `${CHUNKED}-1\r\n`,
      `${CHUNKED}1\r\nab\r\n`,
    ])
      expect(await codeOf(text), text.slice(0, 100)).toBe('llm_bad_reply');
  });

  it('is not what follows another', async () => {
    answer = (socket, path) => socket.write(withLength(JSON.stringify(path)) + withLength('"evil"'));
    for (const path of ['a', 'b', 'c']) expect(await connection.get(path)).toBe(`/${path}`);
    expect(sockets).toHaveLength(3);
  });

  it.each([
    ['reset', (socket: Socket) => void socket.resetAndDestroy()],
    ['closed', (socket: Socket) => void socket.end()],
  ])('that nobody reads when its connection is %s is the end of nothing else', async (_, end) => {
    const piece = `data: ${'x'.repeat(64 * 1024)}\n\n`;
    let isSent = () => {};
    const sent = new Promise<void>((resolve) => {
      isSent = resolve;
    });
    answer = (socket) => {
      socket.write(`${HEAD}connection: close\r\ncontent-length: 100000000\r\n\r\n${piece.repeat(8)}`, () => {
        socket.once('close', isSent);
        end(socket);
      });
    };
    const stream = connection.stream('stream', '{}', new AbortController().signal);
    expect((await stream.next()).done).toBe(false);
    await sent;
    const rest = async () => {
      for await (const _ of stream);
    };
    await expect(rest()).rejects.toMatchObject({ code: 'llm_unavailable' });
    answer = (socket) => socket.write(withLength('1'));
    expect(await connection.get('a')).toBe(1);
  });

  it('that comes faster than it is read is kept up to a bound', async () => {
    const connections = new ConnectionPool(new URL(origin()), {
      connectTimeoutMs: 5_000,
      notConnected: () => new Error('not connected'),
      clock: environment.clock,
    });
    answer = (socket) => {
      socket.write(`${HEAD}\r\n`);
      const more = () => {
        while (!socket.destroyed && socket.write('x'.repeat(64 * 1024)));
      };
      socket.on('drain', more);
      more();
    };
    const errors = { silent: () => 'silent', unread: () => 'unread', broken: () => 'broken' };
    const request = { path: '/', method: 'GET', reset: true } as const;
    const options = { request, connections, idleTimeoutMs: 5_000, unreadBytesMax: 1024 * 1024, errors };
    const exchange = new Exchange(options, environment.clock);
    expect(await exchange.send()).toBe(200);
    await closedOf(sockets[0] as Socket);
    await expect(exchange.text(Infinity, () => 'too long')).rejects.toBe('unread');
    connections.close();
  });
});

describe('a connection', () => {
  it('serves what is asked one after the other', async () => {
    for (const path of ['a', 'b', 'c', 'd']) expect(await connection.post(path, '{}')).toBe(`/${path}`);
    expect(sockets).toHaveLength(1);
  });

  it('is made for each of those that are asked at once, and kept', async () => {
    const ask = () => Promise.all(['a', 'b', 'c'].map((path) => connection.get(path)));
    expect(await ask()).toEqual(['/a', '/b', '/c']);
    expect(await ask()).toEqual(['/a', '/b', '/c']);
    expect(sockets).toHaveLength(3);
  });

  it('that is not used for a second is closed', async () => {
    await connection.get('a');
    await closedOf(sockets[0] as Socket);
    expect(await connection.get('b')).toBe('/b');
    expect(sockets).toHaveLength(2);
  });

  it('that was closed by the server meanwhile is not used again', async () => {
    await connection.get('a');
    const [socket] = sockets as [Socket];
    socket.end();
    await closedOf(socket);
    expect(await connection.get('b')).toBe('/b');
    expect(requests).toEqual(['/a', '/b']);
  });

  it('on which bytes come that nobody asked for is closed, and they are the answer to nothing', async () => {
    for (const bytes of [withLength('"evil"'), 'x']) {
      await connection.get('a');
      const socket = sockets.at(-1) as Socket;
      socket.write(bytes);
      await closedOf(socket);
      expect(await connection.get('b')).toBe('/b');
    }
  });

  it('that ends without a reply ends the request, unless it was kept', async () => {
    answer = (socket) => socket.end();
    await expect(connection.get('a')).rejects.toMatchObject({ code: 'llm_unavailable' });
    expect(requests).toEqual(['/a']);
  });

  it('that ends only after the server has worked on the request ends the request, though it was kept', async () => {
    for (const [waitMs, times] of [
      [999, 2],
      [1_000, 1],
    ] as const) {
      answer = (socket, path) => socket.write(withLength(JSON.stringify(path)));
      await connection.get('a');
      requests = [];
      const asked = new Promise<Socket>((resolve) => {
        answer = resolve;
      });
      const refused = expect(connection.post('b', '{}')).rejects.toMatchObject({ code: 'llm_unavailable' });
      const working = await asked;
      await environment.advance(waitMs);
      answer = (socket) => socket.end();
      working.end();
      await refused;
      expect(requests).toEqual(Array(times).fill('/b'));
    }
  });

  it('that is not made yet ends with the service', async () => {
    answer = () => {};
    const secure = connect(origin('https'));
    const asked = secure.get('a');
    asked.catch(() => undefined);
    const [socket] = (await once(server, 'connection')) as [Socket];
    const closed = closedOf(socket);
    secure.close();
    await expect(asked).rejects.toMatchObject({ code: 'llm_unavailable' });
    await closed;
  });

  it('that is made too late for a request that is given up is closed', async () => {
    answer = () => {};
    const secure = connect(origin('https'));
    const controller = new AbortController();
    const asked = secure.get('a', controller.signal);
    asked.catch(() => undefined);
    const [socket] = (await once(server, 'connection')) as [Socket];
    const closed = closedOf(socket);
    controller.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
    await environment.advance(5_000);
    await closed;
    secure.close();
  });
});
