// Asks for a long reply over every API and reads nothing of it: the connection is given up, the turn is kept and can be had again.
// And does as slow clients do that must be left alone: waits for a reply for long, and reads in time.
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import Fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { ENGINES, type EngineStart } from '../../../src/edge-node/models/engines.ts';
import {
  Backlog,
  UNREAD_BYTES_MAX,
  UNREAD_BYTES_OF_ALL_MAX,
  UNREAD_MS_MAX,
  UnreadBytes,
} from '../../../src/http/connections/backlog.ts';
import { cutOffSlowReaders } from '../../../src/http/connections/slow-readers.ts';
import type { LlmService } from '../../../src/llm-service/llm-service.ts';
import { startScripted } from '../../../src/llm-service/scripted.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

/** Beyond what the system holds for a connection, on both sides, and the node in addition. */
const PART_CHARS = 256 * 1024;
const IDS = 320;

describe('a reply that is complete', () => {
  it('is not held for ever for a client that takes nothing of it', async () => {
    const app = Fastify({ forceCloseConnections: true });
    cutOffSlowReaders(app, { unreadMs: 50 });
    app.get('/', async () => 'x'.repeat(32 * 1024 * 1024));
    await app.listen({ host: '127.0.0.1', port: 0 });
    const accepted = once(app.server, 'connection');
    const client = await asked((app.server.address() as AddressInfo).port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    const [served] = (await accepted) as [Socket];
    await once(served, 'close');
    client.destroy();
    await app.close();
  });

  it('may be waited for longer than that', async () => {
    const app = Fastify({ forceCloseConnections: true });
    cutOffSlowReaders(app, { unreadMs: 20 });
    // From when the request is there: a connection that was idle before has a timeout, too.
    app.get('/', async () => {
      await once(app.server, 'timeout');
      return 'late';
    });
    await app.listen({ host: '127.0.0.1', port: 0 });
    const reply = await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`);
    expect(await reply.text()).toBe('late');
    await app.close();
  });
});

describe('what waits for a client', () => {
  const one = () => new Backlog(new UnreadBytes());

  it('is too much by its bytes', () => {
    expect(one().isTooMuch(0, UNREAD_BYTES_MAX, 0)).toBe(false);
    expect(one().isTooMuch(0, UNREAD_BYTES_MAX + 1, 0)).toBe(true);
  });

  it('is too much once nothing of it was read for long, and not while some is', () => {
    const still = one();
    expect(still.isTooMuch(0, 100, 1_000)).toBe(false);
    expect(still.isTooMuch(100, 200, 1_000 + UNREAD_MS_MAX)).toBe(false);
    expect(still.isTooMuch(200, 300, 1_001 + UNREAD_MS_MAX)).toBe(true);
    const slow = one();
    for (let nowMs = 0, unread = 0; nowMs < 10 * UNREAD_MS_MAX; nowMs += UNREAD_MS_MAX / 2, unread += 10) {
      expect(slow.isTooMuch(Math.max(0, unread - 1), unread + 10, nowMs)).toBe(false);
    }
  });

  it('is too much where all wait for more than the node holds, but for those that read', () => {
    const all = new UnreadBytes();
    const slow: Backlog[] = [];
    while (all.total <= UNREAD_BYTES_OF_ALL_MAX) {
      const backlog = new Backlog(all);
      backlog.isTooMuch(0, UNREAD_BYTES_MAX, 0);
      slow.push(backlog);
    }
    expect(new Backlog(all).isTooMuch(0, 1_000_000, 0)).toBe(true);
    expect(new Backlog(all).isTooMuch(0, 1_000, 0)).toBe(false);
    for (const backlog of slow) backlog.end();
    expect(new Backlog(all).isTooMuch(0, 1_000_000, 0)).toBe(false);
  });
});

describe('a stream that nobody reads', () => {
  let node: InProcessNode;
  beforeAll(async () => {
    const scripted = {
      ...ENGINES.scripted,
      start: async (_: unknown, { environment }: EngineStart) => wordy(environment),
    };
    node = await startTestNode({}, { engines: { ...ENGINES, scripted } });
  });
  afterAll(() => node.close());

  const messages = [{ role: 'user', content: 'Tell me all of it.' }];
  const streams: readonly (readonly [string, object, RegExp])[] = [
    ['/completion', { stream: true, prompt: 'All of it.', n_predict: 2 * IDS }, /"stop":true/],
    ['/v1/chat/completions', { stream: true, messages, max_tokens: 2 * IDS, user: 'chat' }, /\[DONE\]/],
    [
      '/v1/responses',
      { stream: true, input: 'All of it.', max_output_tokens: 2 * IDS, user: 'responses' },
      /response\.completed/,
    ],
    [
      '/v1/messages',
      { stream: true, messages, max_tokens: 2 * IDS, metadata: { user_id: 'messages' } },
      /message_stop/,
    ],
  ];

  it.each(streams)('of %s is given up, and its turn is kept', async (path, body, end) => {
    const { user, metadata } = body as Json;
    const client = await posted(node, path, body);
    await stored(node, user ?? metadata?.user_id);
    const text = await readNow(client);
    expect(text).toMatch(/^HTTP\/1\.1 200/);
    expect(text).not.toMatch(end);
  });

  it('of a socket is given up, and its turn is kept', async () => {
    const client = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`);
    const types: string[] = [];
    client.on('message', (data) => types.push(JSON.parse(String(data)).type));
    await once(client, 'open');
    client.pause();
    client.send(
      JSON.stringify({
        type: 'response.create',
        input: 'All of it.',
        user: 'socket',
        max_output_tokens: 2 * IDS,
      }),
    );
    await stored(node, 'socket');
    const closed = once(client, 'close');
    client.resume();
    await closed;
    expect(types).toContain('response.created');
    expect(types).not.toContain('response.completed');
  });
});

/** A model whose ids stand for long texts. */
function wordy(environment: EngineStart['environment']): LlmService {
  const llm = startScripted({ reply: () => 'y'.repeat(IDS) }, environment);
  const generate = llm.generate.bind(llm);
  return Object.assign(llm, {
    async *generate(...asked: Parameters<LlmService['generate']>) {
      for await (const event of generate(...asked))
        yield event.kind === 'part' ? { ...event, text: 'x'.repeat(PART_CHARS) } : event;
    },
  });
}

/** A connection on which this was sent and nothing is read. */
async function asked(port: number, request: string): Promise<Socket> {
  const client = connect(port, '127.0.0.1').pause();
  await once(client, 'connect');
  client.write(request);
  return client;
}

function posted(node: InProcessNode, path: string, body: object): Promise<Socket> {
  const json = JSON.stringify(body);
  const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}`;
  return asked(Number(new URL(node.url).port), `${head}\r\n\r\n${json}`);
}

async function stored(node: InProcessNode, user = 'anonymous'): Promise<void> {
  while ((await node.get(`/sessions?user_id=${user}`)).body.data.length === 0)
    await new Promise((again) => setTimeout(again, 20));
}

async function readNow(client: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  client.on('data', (chunk) => chunks.push(chunk));
  client.on('error', () => {});
  client.resume();
  await once(client, 'close');
  return Buffer.concat(chunks).toString();
}
