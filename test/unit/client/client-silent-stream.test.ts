// Streams as a node sends them that lets its clients wait: comments between the events, and an error where the reply ended
// before it began. The client passes over the first and does what the second says.
import { expect, it } from 'vitest';
import { DiscedgeClient } from '../../../src/client/client.ts';
import type { RetryEvent } from '../../../src/client/retry.ts';

const COMMENT = ': the turn is under way\n\n';
const PART = `data: ${JSON.stringify({ content: 'Hello', stop: false })}\n\n`;

/** A node that answers with these streams, one after the other. */
function clientOf(...streams: string[]) {
  const retries: RetryEvent[] = [];
  const client = new DiscedgeClient({
    nodes: 'http://node.test',
    onRetry: (event) => retries.push(event),
    fetch: async (_input, init) => {
      const { session_id, turn } = JSON.parse(String(init.body));
      const end = { content: '', stop: true, session_id, turn, context_id: 'a'.repeat(32) };
      const text = (streams.shift() as string).replace('END', `data: ${JSON.stringify(end)}\n\n`);
      return new Response(text, { headers: { 'content-type': 'text/event-stream' } });
    },
  });
  return { client, retries };
}

const failure = (error: object) => `data: ${JSON.stringify({ error })}\n\n`;

it('comments before and between events are passed over', async () => {
  const { client } = clientOf(`${COMMENT}${COMMENT}${PART}${COMMENT}END`);
  const stream = client.session().stream('hi');
  const pieces: string[] = [];
  for await (const piece of stream) pieces.push(piece);
  expect(pieces).toEqual(['Hello']);
  expect(await stream.reply).toMatchObject({ text: 'Hello', turn: 1 });
});

it('an error after them is tried again when it says so, and after the time that it says', async () => {
  const stale = { code: 503, type: 'context_stale', message: 'not here yet', retry: true, retry_after_ms: 7 };
  const { client, retries } = clientOf(`${COMMENT}${failure(stale)}`, `${PART}END`);
  expect(await client.session().stream('hi').reply).toMatchObject({ text: 'Hello' });
  expect(retries).toHaveLength(1);
  expect(retries[0]).toMatchObject({ error: { code: 'context_stale', status: 503, retryAfterMs: 7 } });
});

it('and not when it says that a retry does not help, whatever its status', async () => {
  const final = { code: 503, type: 'context_stale', message: 'never', retry: false };
  const { client, retries } = clientOf(`${COMMENT}${failure(final)}`);
  await expect(client.session().stream('hi').reply).rejects.toMatchObject({ code: 'context_stale', retry: false });
  expect(retries).toEqual([]);
});
