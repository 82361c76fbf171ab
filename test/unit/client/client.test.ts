/**
 * Tries to make the client lose count of its turns: connections that break at every point of an answer, nodes that are
 * gone, busy or speak nonsense, replies abandoned half-way. The node is a loopback HTTP server whose answers each test
 * writes itself, because a real node cannot be made to fail at a chosen byte.
 */

import { getEventListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { DiscedgeClient, DiscedgeClientError, type RetryEvent } from '../../../src/client/client.ts';

interface Received {
  readonly method: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
}
type Answer = (response: ServerResponse, request: Received) => void;

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    }),
  );
});

/** Answers the k-th request with the k-th answer, and every one beyond with the last. */
async function node(...answers: Answer[]) {
  const received: Received[] = [];
  const waiting: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    const entry = { method: request.method ?? '', path: request.url ?? '', body: await bodyOf(request) };
    received.push(entry);
    for (const wake of waiting.splice(0)) wake();
    (answers[received.length - 1] ?? (answers.at(-1) as Answer))(response, entry);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    received,
    turns: () => received.filter((entry) => entry.path === '/completion').map((entry) => entry.body.turn),
    async receives(count: number) {
      while (received.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
}

const contextIdOf = (turn: unknown) => String(turn).padStart(32, '0');
const replyTo = ({ body }: Received, content: string) => ({
  content,
  stop: true,
  session_id: body.session_id,
  user_id: body.user_id ?? 'anonymous',
  mode: 'tokenized',
  turn: body.turn,
  context_id: contextIdOf(body.turn),
  node: 'double',
  model: 'none',
  timings: { cache_n: 7, prompt_n: 3, predicted_n: 2, prompt_ms: 1, predicted_ms: 2 },
});
const json =
  (value: object | ((request: Received) => object), status = 200, headers = {}): Answer =>
  (response, request) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(typeof value === 'function' ? value(request) : value));
  };
const reply = (content: string) => json((request) => replyTo(request, content));
const refusal = (status: number, type: string, headers = {}) =>
  json({ error: { code: status, type, message: `refused: ${type}` } }, status, headers);
const event = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
const streamed =
  (...pieces: string[]): Answer =>
  (response, request) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const content of pieces) response.write(event({ content, stop: false }));
    response.end(event(replyTo(request, '')));
  };
/** Streams pieces, then breaks the connection. */
const cutAfter =
  (...pieces: string[]): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(pieces.map((content) => event({ content, stop: false })).join(''), () => response.destroy());
  };
const gone: Answer = (response) => response.destroy();

function clientOf(nodes: string | string[], options: object = {}) {
  const retries: RetryEvent[] = [];
  const client = new DiscedgeClient({ nodes, backoffMs: 1, onRetry: (event) => retries.push(event), ...options });
  return { client, retries };
}

async function readAll(stream: AsyncIterable<string>): Promise<string[]> {
  const pieces: string[] = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

const failure = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DiscedgeClientError);
  return error as DiscedgeClientError;
};

describe('turn counter', () => {
  it('sends the turn after the last acknowledged one, with its context id and only the new message', async () => {
    const edge = await node(reply('one'), reply('two'));
    const session = clientOf(edge.url, { userId: 'ada' }).client.session({ system: 'Be brief.' });
    await session.send('first');
    const second = await session.send('second', { temperature: 0 });
    expect(second).toMatchObject({ text: 'two', turn: 2, usage: { cachedTokens: 7, evaluatedTokens: 3 } });
    expect(edge.received.map((entry) => entry.body)).toEqual([
      { prompt: 'first', session_id: session.sessionId, user_id: 'ada', turn: 1, system: 'Be brief.' },
      {
        prompt: 'second',
        session_id: session.sessionId,
        user_id: 'ada',
        turn: 2,
        context_id: contextIdOf(1),
        temperature: 0,
      },
    ]);
    expect(session.turn).toBe(2);
  });

  it('does not count a refused turn', async () => {
    const edge = await node(refusal(400, 'context_overflow', { 'x-should-retry': 'false' }), reply('ok'));
    const session = clientOf(edge.url).client.session();
    const error = await failure(session.send('long'));
    expect(error).toMatchObject({ code: 'context_overflow', status: 400, retry: false, node: edge.url });
    expect(session.turn).toBe(0);
    expect((await session.send('short')).turn).toBe(1);
    expect(edge.received, 'nothing had to be asked about it').toHaveLength(2);
  });

  it('re-sends the very same request when the answer is lost', async () => {
    const edge = await node(gone, gone, reply('at last'));
    const { client, retries } = clientOf(edge.url);
    expect((await client.session().send('hello')).text).toBe('at last');
    expect(edge.received[1]).toEqual(edge.received[0]);
    expect(edge.received[2]).toEqual(edge.received[0]);
    expect(retries.map((event) => event.error.code)).toEqual(['node_unreachable', 'node_unreachable']);
  });

  it('gives up after the configured retries and keeps the number for the same text', async () => {
    const edge = await node(gone, gone, gone, reply('ok'));
    const session = clientOf(edge.url, { retriesMax: 2 }).client.session();
    expect((await failure(session.send('hello'))).code).toBe('node_unreachable');
    expect(edge.received).toHaveLength(3);
    expect((await session.send('hello')).turn).toBe(1);
    expect(edge.received).toHaveLength(4);
  });

  it('finds out what became of a lost turn before it gives the number to another message', async () => {
    const stored = json({ session_id: 's', turns: [{ turn: 1, context_id: contextIdOf(1) }] });
    const edge = await node(gone, json({ cancelled: false }), stored, reply('second'));
    const session = clientOf(edge.url, { retriesMax: 0 }).client.session();
    await failure(session.send('hello'));
    expect((await session.send('something else')).turn).toBe(2);
    expect(edge.received.map((entry) => `${entry.method} ${entry.path.replace(session.sessionId, 'S')}`)).toEqual([
      'POST /completion',
      'POST /sessions/S/cancel',
      'GET /sessions/S',
      'POST /completion',
    ]);
    expect(edge.received[3]?.body).toMatchObject({ turn: 2, context_id: contextIdOf(1) });
  });

  it('goes on from a saved state', async () => {
    const edge = await node(reply('x'));
    const { client } = clientOf(edge.url);
    const first = client.session();
    await first.send('one');
    const saved = JSON.parse(JSON.stringify(first.state));
    await client.session(saved).send('two');
    expect(edge.received[1]?.body).toMatchObject({
      session_id: first.sessionId,
      turn: 2,
      context_id: contextIdOf(1),
    });
  });

  it('refuses a second turn while one is under way', async () => {
    const edge = await node((response, request) => setImmediate(() => reply('x')(response, request)));
    const session = clientOf(edge.url).client.session();
    const first = session.send('one');
    expect((await failure(session.send('two'))).code).toBe('session_in_use');
    await first;
    expect(edge.turns()).toEqual([1]);
  });
});

/** Answers by path: turns one by one, cancels and looks always the same. */
function edgeWith(turns: Answer[], { cancelled = false, stored = [] as number[] } = {}) {
  let taken = 0;
  const line = json({ session_id: 's', turns: stored.map((turn) => ({ turn, context_id: contextIdOf(turn) })) });
  return node((response, request) => {
    if (request.path.endsWith('/cancel')) json({ cancelled })(response, request);
    else if (request.path !== '/completion') line(response, request);
    else (turns[taken++] ?? (turns.at(-1) as Answer))(response, request);
  });
}

describe('a turn in doubt', () => {
  const stale = refusal(503, 'context_stale', { 'x-should-retry': 'false' });
  const asked = (edge: { received: Received[] }) => edge.received.map(({ path }) => path.split('/').at(-1));

  it('never takes the session back behind what was acknowledged', async () => {
    const ahead = await edgeWith([reply('1'), reply('2'), reply('3'), gone]);
    const behind = await edgeWith([stale], { stored: [1, 2] });
    const session = clientOf([ahead.url, behind.url]).client.session();
    for (const text of ['1', '2', '3']) await session.send(text);
    expect((await failure(session.send('four'))).code).toBe('context_stale');
    expect((await failure(session.send('something else'))).code).toBe('context_stale');
    expect(session.state).toMatchObject({ turn: 3, contextId: contextIdOf(3) });
    expect(behind.turns()).toEqual([4, 4]);
    expect(behind.received.at(-1)?.body.context_id).toBe(contextIdOf(3));
  });

  it('is looked for at the node that may have it, not only at the one that refused it', async () => {
    const here = await edgeWith([gone], { stored: [1] });
    const there = await edgeWith([refusal(400, 'context_overflow'), reply('x')]);
    const session = clientOf([here.url, there.url]).client.session();
    expect((await failure(session.send('one'))).code).toBe('context_overflow');
    expect((await session.send('other')).turn).toBe(2);
    expect(asked(here)).toEqual(['completion', 'cancel', session.sessionId]);
  });

  it.each([
    [429, 'session_busy', true],
    [503, 'store_unavailable', true],
    [504, 'llm_timeout', true],
    [403, 'forbidden_by_a_proxy', true],
    [400, 'invalid_request', false],
    [412, 'turn_conflict', false],
    [422, 'turn_cancelled', false],
  ])('after %i %s: %s', async (status, type, doubt) => {
    const edge = await edgeWith([refusal(status, type, { 'x-should-retry': 'false' }), reply('x')]);
    const session = clientOf(edge.url).client.session();
    await failure(session.send('one'));
    await session.send('other');
    expect(asked(edge).includes('cancel')).toBe(doubt);
  });

  it('is in doubt still when only the later of two attempts at a node was cancelled', async () => {
    const edge = await edgeWith([gone, refusal(422, 'turn_cancelled'), reply('x')], { stored: [1] });
    const session = clientOf(edge.url).client.session();
    expect((await failure(session.send('one'))).code).toBe('turn_cancelled');
    expect((await session.send('other')).turn).toBe(2);
  });

  it('is cancelled where it runs, wherever the next one goes', async () => {
    const runs = await edgeWith([() => {}], { cancelled: true });
    const next = await edgeWith([reply('x')]);
    const session = clientOf([runs.url, next.url]).client.session();
    const leave = new AbortController();
    const sent = session.send('one', { signal: leave.signal });
    await runs.receives(1);
    session.moveTo(next.url);
    expect(await session.cancel()).toBe(true);
    expect(next.received).toEqual([]);
    leave.abort(new Error('enough'));
    await expect(sent).rejects.toThrow('enough');
  });

  it('does not leave the node that was moved to when the one before breaks', async () => {
    let breakIt = () => {};
    const old = await node((response) => (breakIt = () => response.destroy()));
    const moved = await node(reply('here'));
    const session = clientOf([old.url, moved.url]).client.session();
    const sent = session.send('one');
    await old.receives(1);
    session.moveTo(moved.url);
    breakIt();
    expect((await sent).text).toBe('here');
    expect(old.received).toHaveLength(1);
  });
});

describe('refresh', () => {
  it('goes back only when allowed to, and says so', async () => {
    const edge = await edgeWith([reply('1'), reply('2')], { stored: [1] });
    const session = clientOf(edge.url).client.session();
    await session.send('1');
    expect(await session.refresh()).toEqual({ wentBack: false });
    await session.send('2');
    expect(await failure(session.refresh())).toMatchObject({ code: 'node_behind', retry: true });
    expect(session.turn).toBe(2);
    expect(await session.refresh({ mayGoBack: true })).toEqual({ wentBack: true });
    expect(session.state).toMatchObject({ turn: 1, contextId: contextIdOf(1) });
  });

  it('does not take a longer line that lacks the acknowledged turn', async () => {
    const edge = await edgeWith([reply('1')], { stored: [1, 2] });
    const session = clientOf(edge.url).client.session({ sessionId: 's', turn: 1, contextId: 'f'.repeat(32) });
    expect((await failure(session.refresh())).code).toBe('node_behind');
    expect(session.state).toMatchObject({ turn: 1, contextId: 'f'.repeat(32) });
  });
});

it('a signal that outlives its turns keeps nothing of them', async () => {
  const edge = await node(streamed('a'), (_, request) => void request, reply('b'));
  const any = vi.spyOn(AbortSignal, 'any');
  const long = new AbortController();
  const { client } = clientOf(edge.url);
  await readAll(client.session().stream('x', { signal: long.signal }));
  expect(getEventListeners(long.signal, 'abort')).toEqual([]);
  expect(any).not.toHaveBeenCalled();
  any.mockRestore();
  const stopped = client.session().stream('y', { signal: long.signal });
  await edge.receives(2);
  long.abort(new Error('over'));
  await expect(readAll(stopped)).rejects.toThrow('over');
});

it.each(['', '.', '..'])('refuses the session id "%s", to which no URL leads', async (id) => {
  const edge = await node(json({}));
  const { client } = clientOf(edge.url);
  expect(() => client.session({ sessionId: id })).toThrow(DiscedgeClientError);
  expect((await failure(client.resume(id))).code).toBe('invalid_use');
  for (const ask of ['show', 'export', 'delete', 'cancel'] as const) {
    expect((await failure(client.sessions[ask](id))).code).toBe('invalid_use');
  }
  expect(edge.received).toEqual([]);
});

describe('retries', () => {
  it('believes x-should-retry over the status', async () => {
    const edge = await node(refusal(503, 'context_stale', { 'x-should-retry': 'false' }), reply('never asked'));
    const { client, retries } = clientOf(edge.url);
    expect((await failure(client.session().send('x'))).code).toBe('context_stale');
    expect(retries).toEqual([]);
    const other = await node(refusal(400, 'odd', { 'x-should-retry': 'true' }), reply('ok'));
    expect((await clientOf(other.url).client.session().send('x')).text).toBe('ok');
  });

  it('waits as long as the node says, within a bound', async () => {
    const stale = (ms: string) => refusal(503, 'context_stale', { 'x-should-retry': 'true', 'retry-after-ms': ms });
    const edge = await node(stale('3'), stale('0'), reply('ok'));
    const { client, retries } = clientOf(edge.url);
    await client.session().send('x');
    expect(retries.map((event) => event.waitMs)).toEqual([3, 0]);
    const greedy = await node(stale('86400000'));
    const waits: number[] = [];
    const leave = new AbortController();
    const patient = clientOf(greedy.url, {
      onRetry: (event: RetryEvent) => {
        waits.push(event.waitMs);
        leave.abort(new Error('enough'));
      },
    });
    await expect(patient.client.session().send('x', { signal: leave.signal })).rejects.toThrow('enough');
    expect(waits).toEqual([10_000]);
  });

  it('fails over to the next node at once when one is gone, and stays there', async () => {
    const dead = await node(gone);
    const alive = await node(reply('here'));
    const { client, retries } = clientOf([dead.url, alive.url]);
    const session = client.session();
    expect((await session.send('one')).text).toBe('here');
    await session.send('two');
    expect(retries.map(({ node, waitMs }) => ({ node, waitMs }))).toEqual([{ node: alive.url, waitMs: 0 }]);
    expect(session.node).toBe(alive.url);
    expect([dead.turns(), alive.turns()]).toEqual([[1], [1, 2]]);
    expect(client.session().node).toBe(dead.url);
  });

  it('goes to the next node when one lacks the turn before, and back when all do', async () => {
    const lacking = refusal(503, 'context_stale', { 'retry-after-ms': '0' });
    const stale = await node(lacking, reply('caught up'));
    const other = await node(lacking);
    const { client, retries } = clientOf([stale.url, other.url]);
    expect((await client.session().send('x')).text).toBe('caught up');
    expect(retries.map(({ node }) => node)).toEqual([other.url, stale.url]);
  });

  it('roams when told to', async () => {
    const [here, there] = [await node(reply('here')), await node(reply('there'))];
    const session = clientOf(here.url).client.session();
    await session.send('one');
    session.moveTo(`${there.url}/`);
    expect(await session.send('two')).toMatchObject({ text: 'there', turn: 2 });
    expect(there.received[0]?.body).toMatchObject({ turn: 2, context_id: contextIdOf(1) });
  });
});

describe('streams', () => {
  it('gives out the text as it comes and the reply at the end', async () => {
    const edge = await node(streamed('Hel', '', 'lo'));
    const session = clientOf(edge.url).client.session();
    const stream = session.stream('hi');
    expect(await readAll(stream)).toEqual(['Hel', 'lo']);
    expect(await stream.reply).toMatchObject({ text: 'Hello', turn: 1, contextId: contextIdOf(1) });
    expect(edge.received[0]?.body.stream).toBe(true);
    expect(session.turn).toBe(1);
  });

  it('reads events whatever pieces the network makes of them', async () => {
    const bytes = (request: Received) =>
      Buffer.from(
        `: note\r\n\r\n${event({ content: 'Zażółć ' })}${event({ content: '🤖\n\n' })}${event(replyTo(request, ''))}`,
      );
    const edge = await node(async (response, request) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const byte of bytes(request)) {
        response.write(Buffer.of(byte));
        await new Promise(setImmediate);
      }
      response.end();
    });
    expect((await readAll(clientOf(edge.url).client.session().stream('x'))).join('')).toBe('Zażółć 🤖\n\n');
  });

  it('continues a cut stream without a gap or a repetition', async () => {
    const edge = await node(cutAfter('One, ', 'two, '), cutAfter('One, two, thr'), streamed('One', ', two, three.'));
    const { client, retries } = clientOf(edge.url);
    const session = client.session();
    const stream = session.stream('count');
    expect((await readAll(stream)).join('')).toBe('One, two, three.');
    expect((await stream.reply).text).toBe('One, two, three.');
    expect(retries.map((event) => event.error.code)).toEqual(['reply_cut', 'reply_cut']);
    expect(edge.turns()).toEqual([1, 1, 1]);
    expect(session.turn).toBe(1);
  });

  it('treats a stream that ends without its last event as cut', async () => {
    const endsEarly: Answer = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(event({ content: 'One', stop: false }));
    };
    const edge = await node(endsEarly, streamed('One', '.'));
    expect((await readAll(clientOf(edge.url).client.session().stream('x'))).join('')).toBe('One.');
  });

  it('says so when a re-sent turn is answered differently, and still tells the reply that counts', async () => {
    const edge = await node(cutAfter('Yes, '), streamed('No, ', 'never.'));
    const session = clientOf(edge.url).client.session();
    const stream = session.stream('x');
    const seen: string[] = [];
    const error = await failure(
      (async () => {
        for await (const piece of stream) seen.push(piece);
      })(),
    );
    expect(error.code).toBe('reply_changed');
    expect(seen.join('')).toBe('Yes, ');
    expect((await stream.reply).text).toBe('No, never.');
    expect(session.turn).toBe(1);
    expect(edge.received.every((entry) => entry.path === '/completion')).toBe(true);
  });

  it('reports an error that comes inside the stream', async () => {
    const failing =
      (code: number, type: string): Answer =>
      (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.end(event({ content: 'One' }) + event({ error: { code, type, message: 'm' } }));
      };
    const broken = await node(failing(500, 'internal_error'));
    expect(await failure(readAll(clientOf(broken.url).client.session().stream('x')))).toMatchObject({
      code: 'internal_error',
      status: 500,
    });
    expect(broken.received).toHaveLength(1);
    const slow = await node(failing(504, 'llm_timeout'), streamed('One', '.'));
    expect((await readAll(clientOf(slow.url).client.session().stream('x'))).join('')).toBe('One.');
  });

  it('cancels the turn when its reader leaves, and uses the number again', async () => {
    const endless: Answer = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(event({ content: 'and so on ' }));
    };
    const edge = await node(endless, json({ cancelled: true }), reply('fine'));
    const session = clientOf(edge.url).client.session();
    const stream = session.stream('tell me everything');
    for await (const _ of stream) break;
    await expect(stream.reply).rejects.toThrow('not read to its end');
    await edge.receives(2);
    expect((await session.send('never mind')).turn).toBe(1);
    expect(edge.received.map((entry) => entry.path.replace(session.sessionId, 'S'))).toEqual([
      '/completion',
      '/sessions/S/cancel',
      '/completion',
    ]);
  });

  it('rejects with the reason of the signal that ends it', async () => {
    const edge = await node(() => {});
    const leave = new AbortController();
    const stream = clientOf(edge.url).client.session().stream('x', { signal: leave.signal });
    await edge.receives(1);
    leave.abort(new Error('changed my mind'));
    await expect(readAll(stream)).rejects.toThrow('changed my mind');
  });

  it('leaves no rejection unhandled when nobody looks', async () => {
    const edge = await node(refusal(400, 'invalid_request'));
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    clientOf(edge.url).client.session().stream('x');
    await edge.receives(1);
    await clientOf(edge.url)
      .client.health()
      .catch(() => {});
    await new Promise(setImmediate);
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  });
});

describe('answers that are no DisCEdge answers', () => {
  it.each<[string, Answer, string]>([
    ['a web page', (response) => response.end('<html>'), 'reply_malformed'],
    ['other JSON', json({ hello: 'world' }), 'reply_malformed'],
    ['null', (response) => response.end('null'), 'reply_malformed'],
    ["a proxy's error page", (response) => response.writeHead(403).end('<html>'), 'http_403'],
    ['an error that is text', json({ error: 'no' }, 404), 'http_404'],
  ])('%s', async (_, answer, code) => {
    const edge = await node(answer);
    expect((await failure(clientOf(edge.url).client.session().send('x'))).code).toBe(code);
    expect(edge.received).toHaveLength(1);
  });

  it('an event that is not JSON', async () => {
    const edge = await node((response) => response.end('data: {oops\n\n'));
    expect((await failure(readAll(clientOf(edge.url).client.session().stream('x')))).code).toBe('reply_malformed');
  });

  it.each(['', 'edge-1:8081', 'ftp://edge-1'])('refuses the node URL "%s"', (url) => {
    expect(() => clientOf(url)).toThrow(/http:\/\/HOST:PORT/);
  });
});

describe('stored sessions', () => {
  it('lists page by page, with dates', async () => {
    const row = {
      session_id: 'a b',
      user_id: 'ada',
      mode: 'raw',
      turns: 2,
      bytes: 10,
      created_at: '2026-01-01T00:00:00.000Z',
      updated_at: '2026-01-02T00:00:00.000Z',
      expires_at: '2026-01-03T00:00:00.000Z',
    };
    const edge = await node(
      json({ data: [row], has_more: true, next: 'n' }),
      json({ data: [], has_more: false, next: null }),
    );
    const { client } = clientOf(edge.url, { userId: 'ada' });
    const first = await client.sessions.list({ limit: 1 });
    expect(first.sessions[0]).toMatchObject({ sessionId: 'a b', turns: 2, expiresAt: new Date('2026-01-03') });
    expect(await client.sessions.list({ limit: 1, after: first.next as string })).toEqual({
      sessions: [],
      next: undefined,
    });
    expect(edge.received.map((entry) => entry.path)).toEqual([
      '/sessions?user_id=ada&limit=1',
      '/sessions?user_id=ada&limit=1&after=n',
    ]);
  });

  it('a session says what it has seen wherever it reads, exports or deletes, and nothing before its first turn', async () => {
    const edge = await node(json({ turns: [], branches: [] }), reply('hi'), json({ turns: [], branches: [] }));
    const { client } = clientOf(edge.url);
    const session = client.session({ sessionId: 's', turnOptions: { maxWaitMs: 700 } });
    await session.history();
    const { contextId } = await session.send('x');
    await session.history();
    await session.export();
    await session.delete();
    const seen = `?turn=1&context_id=${encodeURIComponent(contextId ?? '')}&max_wait_ms=700`;
    expect(edge.received.map((entry) => `${entry.method} ${entry.path}`)).toEqual([
      'GET /sessions/s',
      'POST /completion',
      `GET /sessions/s${seen}`,
      `GET /sessions/s/export${seen}`,
      `DELETE /sessions/s${seen}`,
    ]);
  });

  it('names sessions safely in paths', async () => {
    const edge = await node(json({ deleted: true, cancelled: true }));
    const { sessions } = clientOf(edge.url).client;
    const id = '../users/ä?x';
    await sessions.delete(id);
    await sessions.show(id);
    await sessions.export(id);
    await sessions.cancel(id);
    const path = '/sessions/..%2Fusers%2F%C3%A4%3Fx';
    expect(edge.received.map((entry) => `${entry.method} ${entry.path}`)).toEqual([
      `DELETE ${path}`,
      `GET ${path}`,
      `GET ${path}/export`,
      `POST ${path}/cancel`,
    ]);
  });
});

it('the client imports nothing outside its folder, so that it runs in a browser', () => {
  const folder = new URL('../../../src/client/', import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  expect(files).toContain('client.ts');
  for (const file of files) {
    const url = new URL(file, folder);
    const source = readFileSync(url, 'utf8');
    const imports = [...source.matchAll(/from '([^']+)'/g)].map(([, name]) => name as string);
    const outside = imports.filter((name) => !name.startsWith('.') || !new URL(name, url).href.startsWith(folder.href));
    expect(outside, file).toEqual([]);
    expect(source, file).not.toMatch(/\b(process|Buffer|require)\b\s*[.(]/);
  }
});
