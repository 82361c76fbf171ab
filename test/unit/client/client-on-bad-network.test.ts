/**
 * Puts a proxy that breaks connections between the client and a real edge node, at every stride of bytes of an answer,
 * streamed or whole: no text may be lost or repeated, and no turn may be taken twice or not at all.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
let proxy: CuttingProxy;
beforeAll(async () => {
  node = await startTestNode();
  proxy = await startProxy(node.url);
});
afterAll(async () => {
  await proxy?.close();
  await node?.close();
});

interface CuttingProxy {
  readonly url: string;
  /** Lets the k-th connection from now carry so many bytes of answers before it breaks; later ones are whole. */
  cutAfter(...bytes: number[]): void;
  close(): Promise<void>;
}

async function startProxy(target: string): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let budgets: number[] = [];
  const server = createServer((near) => {
    let left = budgets.shift() ?? Number.POSITIVE_INFINITY;
    const far = connect(Number(port), hostname);
    const breakBoth = () => {
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('close', () => {
        sockets.delete(socket);
        breakBoth();
      });
      socket.on('error', breakBoth);
    }
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => {
      const passed = bytes.subarray(0, left);
      left -= passed.length;
      near.write(passed, () => {
        if (left <= 0) breakBoth();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cutAfter: (...bytes) => {
      budgets = bytes;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A connection of its own for each request, so that the proxy's budgets meet the requests they are meant for. */
const client = () => new DiscedgeClient({ nodes: proxy.url, backoffMs: 1, headers: { connection: 'close' } });

const MESSAGE = 'Zażółć gęślą jaźń 🤖, told twice: Zażółć gęślą jaźń 🤖.';

async function storedTurns(sessionId: string): Promise<number[]> {
  const { body } = await node.get(`/sessions/${sessionId}`);
  return body.turns.map(({ turn }: { turn: number }) => turn);
}

describe('a connection that breaks', () => {
  // The answer's head is about 300 bytes, a whole streamed answer about 3,000.
  const strides = Array.from({ length: 32 }, (_, i) => 1 + i * 97);

  it('in the middle of a stream loses and repeats nothing', async () => {
    const expected = (await client().session().send(MESSAGE)).text;
    for (const bytes of strides) {
      proxy.cutAfter(bytes, bytes + 200);
      const session = client().session();
      const stream = session.stream(MESSAGE);
      let text = '';
      for await (const piece of stream) text += piece;
      expect(text, `cut after ${bytes} bytes`).toBe(expected);
      expect(await stream.reply).toMatchObject({ turn: 1, text: expected });
      expect(await storedTurns(session.sessionId)).toEqual([1]);
    }
  });

  it('in the middle of a whole answer leaves the turn taken once', async () => {
    for (const bytes of strides) {
      proxy.cutAfter(bytes);
      const session = client().session();
      await session.send('One.');
      expect((await session.send('Two.')).turn).toBe(2);
      expect(await storedTurns(session.sessionId), `cut after ${bytes} bytes`).toEqual([1, 2]);
    }
  });
});

describe('a reply that is left', () => {
  const long = 'word '.repeat(20_000);

  it('is not part of the session, and its number is used again', async () => {
    const session = client().session();
    await session.send('One.');
    for await (const _ of session.stream(long)) break;
    const next = await session.send('Three.');
    expect(next.turn).toBe(2);
    expect((await session.history()).map(({ user }) => user)).toEqual(['One.', 'Three.']);
  });
});

it('a turn whose answer was lost for good keeps its number', async () => {
  const impatient = new DiscedgeClient({ nodes: proxy.url, retriesMax: 0, headers: { connection: 'close' } });
  const session = impatient.session();
  proxy.cutAfter(40);
  await expect(session.send('One.')).rejects.toMatchObject({ retry: true });
  expect(session.turn).toBe(0);
  // The same turn from elsewhere is answered when it is stored, and so tells when that is.
  expect((await client().session({ sessionId: session.sessionId }).send('One.')).replayed).toBe(true);
  expect((await session.send('Two.')).turn).toBe(2);
  expect(await storedTurns(session.sessionId)).toEqual([1, 2]);
});

it('a session goes on from nothing but its id', async () => {
  const first = client().session({ system: 'Be brief.' });
  await first.send('One.');
  await first.send('Two.');
  const resumed = await client().resume(first.sessionId);
  expect(resumed.state).toEqual(first.state);
  expect((await resumed.send('Three.')).turn).toBe(3);
  await expect(client().resume('never opened')).rejects.toMatchObject({ code: 'session_not_found', status: 404 });
});

it('a session that was used elsewhere says so, and can catch up', async () => {
  const here = client().session();
  await here.send('One.');
  await client().session(here.state).send('Two, elsewhere.');
  await expect(here.send('Two, here.')).rejects.toMatchObject({ code: 'turn_conflict' });
  await here.refresh();
  expect((await here.send('Three.')).turn).toBe(3);
});
