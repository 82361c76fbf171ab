// Which node a client asks: the nearest by what is measured or by where nodes stand, learned or given, and the next one when a node
// is silent, gone or refuses. Tries to have it ask a node that it must not: of another model, less safe, or gone.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DiscedgeClient, type RetryEvent } from '../../../src/client/client.ts';

// Time goes to what is due next as soon as nothing else is under way, however long that takes.
beforeEach(() => void vi.useFakeTimers().setTimerTickMode('nextTimerAsync'));
afterEach(() => void vi.useRealTimers());

type Answer = (init: RequestInit) => Response | Promise<Response>;

/** A network of nodes by host; who is not in it cannot be reached. */
function network(hosts: Record<string, Record<string, Answer>>) {
  const asked: string[] = [];
  const fetch = async (input: string, init: RequestInit): Promise<Response> => {
    const { origin, pathname } = new URL(input);
    asked.push(`${origin}${pathname}`);
    const answer = hosts[origin]?.[pathname];
    if (answer === undefined) throw new TypeError('no route to host');
    return answer(init);
  };
  return { asked, fetch };
}

const json =
  (value: unknown): Answer =>
  () =>
    new Response(JSON.stringify(value));
const after =
  (ms: number, answer: Answer): Answer =>
  async (init) => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return answer(init);
  };
const ready = json({ status: 'ready' });
const reply: Answer = (init) => {
  const { session_id, turn } = JSON.parse(String(init.body));
  return new Response(JSON.stringify({ content: 'yes', stop: true, session_id, turn, context_id: 'a'.repeat(32) }));
};
const node = (name: string, fields: object = {}) => ({
  node: name,
  state: 'connected',
  url: `http://${name}`,
  ...fields,
});
const directory = (...nodes: object[]) => json({ cluster: 'c', nodes, refused: {} });

describe('the nearest node', () => {
  it('is the one that answers soonest, and who cannot take turns comes last', async () => {
    const { fetch } = network({
      'http://a': {
        '/ready': after(60, ready),
        '/nodes': directory({ node: 'a', state: 'self' }, node('b'), node('c')),
      },
      'http://b': { '/ready': () => new Response('{}', { status: 503 }) },
      'http://c': { '/ready': ready },
    });
    const client = new DiscedgeClient({ nodes: 'http://a', fetch, retriesMax: 0 });
    const found = await client.findNodes();
    expect(found.map(({ url }) => url)).toEqual(['http://c', 'http://a', 'http://b']);
    expect(found.map(({ latencyMs }) => latencyMs === undefined)).toEqual([false, false, true]);
    expect(found.map(({ nodeId }) => nodeId)).toEqual(['c', 'a', 'b']);
    expect(client.node).toBe('http://c');
    expect(client.session().node).toBe('http://c');
  });

  it('is the one that stands nearest, where that is asked; nobody is measured for it', async () => {
    const at = (latitude: number, longitude: number) => ({ location: { latitude, longitude } });
    const { fetch, asked } = network({
      'http://here': {
        '/nodes': directory(
          { node: 'here', state: 'self', ...at(52.5, 13.4) },
          node('fiji', at(-18, 179)),
          node('nowhere'),
          node('samoa', at(-14, -172)),
        ),
      },
    });
    const client = new DiscedgeClient({ nodes: 'http://here', fetch });
    const found = await client.findNodes({ by: { latitude: -18, longitude: -179 } });
    expect(found.map(({ nodeId }) => nodeId)).toEqual(['fiji', 'samoa', 'here', 'nowhere']);
    expect(found[0]?.distanceKm).toBeGreaterThan(200);
    expect(found[0]?.distanceKm).toBeLessThan(220);
    expect(asked).toEqual(['http://here/nodes']);
  });

  it('is one of those that were given, where nothing is to be learned', async () => {
    const { fetch, asked } = network({ 'http://a': { '/ready': after(40, ready) }, 'http://b': { '/ready': ready } });
    const client = new DiscedgeClient({ nodes: ['http://a', 'http://b'], fetch });
    expect((await client.findNodes({ learn: false })).map(({ url }) => url)).toEqual(['http://b', 'http://a']);
    expect(asked).not.toContain('http://a/nodes');
  });

  it('is never one of another model, one that is gone, or one that is reached less safely', async () => {
    const { fetch } = network({
      'https://a': {
        '/nodes': directory(
          { node: 'a', state: 'self', models: ['m'] },
          node('plain'),
          node('other', { url: 'https://other', models: ['n'] }),
          node('gone', { url: 'https://gone', state: 'unreachable' }),
          node('odd', { url: 'ftp://odd' }),
          node('torn', { url: 'no URL' }),
          node('same', { url: 'https://same', models: ['n', 'm'] }),
        ),
        '/ready': ready,
      },
      'https://same': { '/ready': ready },
    });
    const client = new DiscedgeClient({ nodes: 'https://a', model: 'm', fetch });
    expect((await client.findNodes()).map(({ url }) => url).sort()).toEqual(['https://a', 'https://same']);
  });

  it('is asked for at another node when the first one is gone, and by nobody who gave up', async () => {
    const { fetch } = network({ 'http://b': { '/nodes': directory({ node: 'b', state: 'self' }), '/ready': ready } });
    const client = new DiscedgeClient({ nodes: ['http://a', 'http://b'], fetch, backoffMs: 1 });
    expect((await client.findNodes()).map(({ url }) => url)).toEqual(['http://b', 'http://a']);
    await expect(client.findNodes({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});

describe('a node that', () => {
  const never: Answer = (init) => {
    init.signal?.throwIfAborted();
    return new Promise((_, reject) => init.signal?.addEventListener('abort', () => reject(init.signal?.reason)));
  };
  /** Says so much of a stream, and then nothing. */
  const begins =
    (text: string): Answer =>
    (init) =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode(text));
            init.signal?.addEventListener('abort', () => controller.error(init.signal?.reason));
          },
        }),
      );
  const streamed: Answer = async (init) => new Response(`data: ${await (await reply(init)).text()}\n\n`);
  const part = 'data: {"content":"y","stop":false}\n\n';

  it.each([
    ['is silent', never, 'node_silent'],
    ['is gone', undefined, 'node_unreachable'],
    ['refuses', () => new Response('{"error":{"type":"overloaded"}}', { status: 503 }), 'overloaded'],
    ['is gone behind its proxy', () => new Response('<html>', { status: 502 }), 'http_502'],
    [
      'lacks the turns before',
      () => new Response('{"error":{"type":"context_stale"}}', { status: 503 }),
      'context_stale',
    ],
    ['cannot ask its model', () => new Response('{"error":{"type":"llm_timeout"}}', { status: 504 }), 'llm_timeout'],
  ])('%s is left for the next one, and the reply says who answered', async (_, answer, code) => {
    const retries: RetryEvent[] = [];
    const { fetch } = network({
      'http://a': answer === undefined ? {} : { '/completion': answer as Answer },
      'http://b': { '/completion': reply },
    });
    const client = new DiscedgeClient({
      ...{ nodes: ['http://a', 'http://b'], fetch, silenceMs: 30, onRetry: (event: RetryEvent) => retries.push(event) },
    });
    expect((await client.session().send('hi')).url).toBe('http://b');
    expect(retries.map(({ error, waitMs }) => [error.code, waitMs])).toEqual([[code, 0]]);
  });

  it('falls silent in the middle of a stream is left too, without a gap or a repetition', async () => {
    const { fetch } = network({
      'http://a': { '/completion': begins(`${part}: still here\n\n`) },
      'http://b': {
        '/completion': async (init) =>
          new Response(`${part}data: ${(await (await reply(init)).text()).replace('yes', 'es')}\n\n`),
      },
    });
    const client = new DiscedgeClient({ nodes: ['http://a', 'http://b'], fetch, silenceMs: 30 });
    const stream = client.session().stream('hi');
    let text = '';
    for await (const piece of stream) text += piece;
    expect(text).toBe('yes');
    expect((await stream.reply).url).toBe('http://b');
  });

  it('says something now and then is waited for', async () => {
    const talks: Answer = (init) =>
      new Response(
        new ReadableStream({
          async start(controller) {
            init.signal?.addEventListener('abort', () => controller.error(init.signal?.reason));
            const say = (text: string) => controller.enqueue(new TextEncoder().encode(text));
            for (let time = 0; time < 6; time++) {
              say(': still here\n\n');
              await new Promise((resolve) => setTimeout(resolve, 40));
            }
            say(await (await streamed(init)).text());
            controller.close();
          },
        }),
      );
    const { fetch } = network({ 'http://a': { '/completion': talks } });
    const client = new DiscedgeClient({ nodes: 'http://a', fetch, silenceMs: 150, retriesMax: 0 });
    expect((await client.session().stream('hi').reply).text).toBe('yes');
  });

  it('is silent for a client that has given up is given up', async () => {
    const { fetch } = network({
      'http://a': { '/completion': never, '/sessions/s/cancel': json({ cancelled: true }) },
    });
    const leaving = new AbortController();
    const client = new DiscedgeClient({ nodes: 'http://a', fetch, silenceMs: 60_000 });
    const sent = client.session({ sessionId: 's' }).send('hi', { signal: leaving.signal });
    leaving.abort(new Error('enough'));
    await expect(sent).rejects.toThrow('enough');
  });
});
