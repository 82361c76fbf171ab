/**
 * Asks the client for one effect where a network makes it easy to have two: the same message with other options after its
 * reply was lost, an answer cut where nothing says how long it is, answers that are another turn's, requests that were
 * carried out although their answers were lost.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DiscedgeClient, type RetryEvent } from '../../../src/client/client.ts';

type Fields = Record<string, unknown>;
type Answer = (response: ServerResponse, body: Fields) => void;

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** Answers the k-th request with the k-th answer, and every one beyond with the last. */
async function node(...answers: readonly Answer[]) {
  const received: Array<{ readonly path: string; readonly body: Fields }> = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = text === '' ? {} : (JSON.parse(text) as Fields);
    received.push({ path: request.url ?? '', body });
    (answers[received.length - 1] ?? (answers.at(-1) as Answer))(response, body);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

const json =
  (value: object | ((body: Fields) => object), status = 200, headers = {}): Answer =>
  (response, body) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(typeof value === 'function' ? value(body) : value));
  };
const replyTo = ({ session_id, turn }: Fields) => ({
  content: 'paid',
  stop: true,
  session_id,
  turn,
  context_id: String(turn).padStart(32, '0'),
});
const reply = json(replyTo);
const lost: Answer = (response) => response.destroy();
const refusal = (status: number, type: string, headers = {}) =>
  json({ error: { code: status, type, message: type } }, status, headers);

const clientOf = (nodes: string, options: object = {}) => new DiscedgeClient({ nodes, backoffMs: 1, ...options });

describe('the same message after its reply was lost', () => {
  it.each([
    [{ consistency: 'available' }],
    [{ maxWaitMs: 7 }],
    [{ ttlSeconds: 60 }],
    [{ overflow: 'drop-oldest' }],
    [{ reasoning: 'drop' }],
    [{ writeConcern: 'replicated' }],
  ] as const)('is the same turn, answered as it is asked for now: %j', async (now) => {
    const edge = await node(lost, reply);
    const session = clientOf(edge.url, { retriesMax: 0 }).session();
    await expect(session.send('pay 5 EUR', { temperature: 0.5 })).rejects.toMatchObject({ code: 'node_unreachable' });
    expect((await session.send('pay 5 EUR', now)).turn).toBe(1);
    const [first, second] = edge.received;
    expect(edge.received).toHaveLength(2);
    expect(second?.body).toMatchObject({ prompt: 'pay 5 EUR', turn: 1, temperature: 0.5 });
    expect(second?.body).not.toEqual(first?.body);
  });

  it('keeps the sampling that it was first sent with: with another it would be another request', async () => {
    const edge = await node(lost, reply);
    const session = clientOf(edge.url, { retriesMax: 0 }).session();
    await expect(session.send('pay 5 EUR', { temperature: 0.5, maxTokens: 9 })).rejects.toThrow();
    await session.send('pay 5 EUR', { temperature: 1, seed: 3 });
    expect(edge.received[1]?.body).toEqual(edge.received[0]?.body);
  });
});

describe('an answer', () => {
  it('that ends early with its connection, without a length, is asked for again', async () => {
    const cut: Answer = (response, body) => {
      const whole = JSON.stringify(replyTo(body));
      response.socket?.end(`HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n${whole.slice(0, -9)}`);
    };
    const edge = await node(cut, reply);
    const result = await clientOf(edge.url, { headers: { connection: 'close' } })
      .session()
      .send('pay 5 EUR');
    expect(result.turn).toBe(1);
    expect(edge.received.map(({ body }) => body.turn)).toEqual([1, 1]);
  });

  it.each([
    ['a turn that was never sent', { turn: 99 }],
    ['no turn at all', { turn: 0 }],
    ['an earlier turn, under strong', { turn: 1 }],
    ['another session', { session_id: 'somebody-else' }],
  ])('that is about %s is not believed', async (_name, fields) => {
    const edge = await node(
      reply,
      json((body) => ({ ...replyTo(body), ...fields })),
    );
    const session = clientOf(edge.url).session();
    await session.send('one');
    const before = session.state;
    await expect(session.send('two', { consistency: 'strong' })).rejects.toMatchObject({ code: 'reply_malformed' });
    expect(session.state).toEqual(before);
  });

  it('under available may have an earlier place', async () => {
    const edge = await node(json((body) => ({ ...replyTo(body), turn: 2 })));
    const session = clientOf(edge.url).session({ sessionId: 's', turn: 4 });
    expect((await session.send('five', { consistency: 'available' })).turn).toBe(2);
  });

  it('names the wait before the next attempt in seconds too', async () => {
    const retries: RetryEvent[] = [];
    const edge = await node(refusal(503, 'overloaded', { 'retry-after': '1' }), reply);
    const client = clientOf(edge.url, { onRetry: (event: RetryEvent) => retries.push(event) });
    await client.session().send('pay 5 EUR');
    expect(retries.map(({ waitMs }) => waitMs)).toEqual([1000]);
  });
});

describe('what was carried out although its answer was lost', () => {
  it('a deletion that is sent again is done', async () => {
    const edge = await node(lost, refusal(410, 'session_deleted'));
    await clientOf(edge.url).sessions.delete('s');
    expect(edge.received).toHaveLength(2);
  });

  it('a move that deletes is sent again, and what was answered in between has come along', async () => {
    const moved = (turn: number) => json(({ session_id }) => ({ session_id, turn, model: 'other', not_carried: [] }));
    const edge = await node(lost, moved(2), lost, moved(3));
    const { sessions } = clientOf(edge.url);
    expect((await sessions.move('s', { model: 'other', delete: true })).turn).toBe(3);
    const asked = edge.received.map(({ body }) => body.delete ?? false);
    expect(asked).toEqual([false, false, true, true]);
    expect(new Set(edge.received.map(({ path, body }) => `${path} ${body.session_id}`)).size).toBe(1);
    const done = await node(moved(2), lost, refusal(410, 'session_deleted'));
    expect((await clientOf(done.url).sessions.move('s', { model: 'other', delete: true })).turn).toBe(2);
  });

  it('a session that somebody had deleted before is still said to be', async () => {
    const edge = await node(refusal(410, 'session_deleted'));
    await expect(clientOf(edge.url).sessions.delete('s')).rejects.toMatchObject({ code: 'session_deleted' });
  });

  it('a cancellation that is sent again does not say that there was nothing to cancel', async () => {
    const edge = await node(lost, json({ cancelled: false }));
    await expect(clientOf(edge.url).sessions.cancel('s')).rejects.toMatchObject({ code: 'reply_cut' });
    const idle = await node(json({ cancelled: false }));
    expect(await clientOf(idle.url).sessions.cancel('s')).toBe(false);
  });

  it.each([
    [true, { error: { code: 404, type: 'session_not_found', message: 'none' } }, 404],
    [false, { session_id: 's', turns: [{ turn: 1, context_id: 'c1', user: 'pay 5 EUR' }], branches: [] }, 200],
  ])("a session's cancel then says %s, by what the node has stored", async (cancelled, stored, status) => {
    const edge = await node(lost, refusal(503, 'overloaded'), lost, json({ cancelled: false }), json(stored, status));
    const session = clientOf(edge.url, { retriesMax: 1 }).session();
    await expect(session.send('pay 5 EUR')).rejects.toMatchObject({ code: 'overloaded' });
    expect(await session.cancel()).toBe(cancelled);
    expect(edge.received).toHaveLength(5);
  });
});
