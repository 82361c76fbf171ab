// Answers that are no answers, dates by another clock, replies that end before what was given out, and prompts of which nothing is
// kept: with fetches that say what no node should.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiscedgeClient, type RetryEvent } from '../../../src/client/client.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

const CONTEXT = 'a'.repeat(32);
const clientOf = (...answers: ((body: Record<string, unknown>) => Response)[]) => {
  const retries: RetryEvent[] = [];
  const client = new DiscedgeClient({
    ...{
      nodes: 'http://node.test',
      retriesMax: answers.length - 1,
      onRetry: (event: RetryEvent) => retries.push(event),
    },
    fetch: async (_, init) => {
      const answer = (answers.length > 1 ? answers.shift() : answers[0]) as (body: object) => Response;
      return answer(JSON.parse(String(init.body)));
    },
  });
  return { client, retries };
};
const fieldsOf = ({ session_id, turn }: Record<string, unknown>) => ({ session_id, turn, context_id: CONTEXT });
const stream = (...events: string[]) => new Response(events.map((event) => `data: ${event}\n\n`).join(''));

describe('an answer', () => {
  it.each(['null', '7', '"text"', '[]', '{}'])('of %s is none, whole or streamed', async (text) => {
    const whole = clientOf(() => new Response(text)).client.session();
    await expect(whole.send('hi')).rejects.toMatchObject({ code: 'reply_malformed' });
    const streamed = clientOf(() => stream(text))
      .client.session()
      .stream('hi');
    await expect(streamed.reply).rejects.toMatchObject({ code: 'reply_cut' });
  });

  it('without a context is none: the next turn could not say what it follows', async () => {
    const { client } = clientOf(
      (body) => new Response(JSON.stringify({ ...fieldsOf(body), content: '', context_id: undefined })),
    );
    await expect(client.session().send('hi')).rejects.toMatchObject({ code: 'reply_malformed' });
  });

  it('that says when to come back by its own clock is waited for by that', async () => {
    const headers = { date: 'Thu, 01 Jan 1970 00:00:00 GMT', 'retry-after': 'Thu, 01 Jan 1970 00:00:01 GMT' };
    const { client, retries } = clientOf(
      () => new Response('{"error":{"type":"overloaded"}}', { status: 503, headers }),
      (body) => new Response(JSON.stringify({ ...fieldsOf(body), content: 'yes' })),
    );
    await client.session().send('hi');
    expect(retries.map(({ waitMs }) => waitMs)).toEqual([1000]);
  });

  it('again, that ends before what was given out, is not passed off as the same', async () => {
    const { client } = clientOf(
      () => stream('{"content":"Hello world"}'),
      (body) => stream('{"content":"Hello"}', JSON.stringify({ ...fieldsOf(body), content: '', stop: true })),
    );
    const replying = client.session().stream('hi');
    const read = async () => {
      let text = '';
      for await (const piece of replying) text += piece;
      return text;
    };
    await expect(read()).rejects.toMatchObject({ code: 'reply_changed' });
    expect((await replying.reply).text).toBe('Hello');
  });
});

describe('a prompt of which nothing is kept', () => {
  let node: InProcessNode;
  beforeAll(async () => {
    node = await startTestNode();
  });
  afterAll(() => node.close());

  it('is answered whole or as it is written, by the node that is named, and leaves no session', async () => {
    const client = new DiscedgeClient({ nodes: node.url, userId: 'ada' });
    const whole = await client.complete('<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n', { maxTokens: 4 });
    expect(whole).toMatchObject({ node: 'test', url: node.url, stopType: 'limit', usage: { predictedTokens: 4 } });
    const replying = client.completeStream(['a', 98, 'c'], { maxTokens: 4 });
    let text = '';
    for await (const piece of replying) text += piece;
    const streamed = await replying.reply;
    expect(streamed.text).toBe(text);
    expect(streamed.wire.mode).toBe('client-side');
    expect((await client.sessions.list()).sessions).toEqual([]);
  });

  it('is given up with its signal, and when its reader leaves', async () => {
    const client = new DiscedgeClient({ nodes: node.url });
    await expect(client.complete('hi', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
    const replying = client.completeStream('hi', { maxTokens: 64 });
    for await (const _ of replying) break;
    await expect(replying.reply).rejects.toMatchObject({ code: 'reply_abandoned' });
  });
});
