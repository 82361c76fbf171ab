/**
 * A conversation by OpenAI's own client, against a node: what it sends with each turn, whole and streamed, and what becomes of
 * answers that fail. A body that is not the stock client's would be weighed in the report as if it were.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';
import { type OpenAiApi, openAiConversation } from '../../src/conversation/openai-conversation.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

function conversation(api: OpenAiApi, stream: boolean, answer: typeof fetch = fetch) {
  const bodies: Record<string, unknown>[] = [];
  const counted = (input: string, init: RequestInit) => {
    bodies.push(JSON.parse(init.body as string));
    return answer(input, init);
  };
  const sampling = { seed: 1, temperature: 0, maxTokens: 64, clientRetries: 1 };
  const options = { fetch: counted, userId: `${api}-${stream}`, system: 'Be brief.', stream, ...sampling };
  const talk = openAiConversation(api, options);
  let begun = 0;
  const onFirstText = () => void begun++;
  const send = (message: string, signal?: AbortSignal) => talk.send({ message, url: node.url, onFirstText, signal });
  return { send, bodies, begun: () => begun };
}

describe.each([false, true])('streamed: %s', (stream) => {
  it('by response ids: the message and the id of the response before it', async () => {
    const { send, bodies, begun } = conversation('responses', stream);
    const one = await send('One.');
    const two = await send('Two.');
    expect([one.text, two.text]).toEqual(['Turn 1: One.', 'Turn 2: Two.']);
    expect(two.wire).toMatchObject({ tokens_evaluated: expect.any(Number), tokens_predicted: expect.any(Number) });
    expect(bodies.map(({ input, instructions }) => [input, instructions])).toEqual([
      ['One.', 'Be brief.'],
      ['Two.', 'Be brief.'],
    ]);
    expect(bodies[0]).not.toHaveProperty('previous_response_id');
    expect(bodies[1]).toHaveProperty('previous_response_id', expect.stringMatching(/^resp_/));
    expect(begun()).toBe(stream ? 2 : 0);
  });

  it('by chat: all that was said', async () => {
    const { send, bodies, begun } = conversation('chat', stream);
    await send('One.');
    const { text, wire, clientRetries } = await send('Two.');
    expect([text, clientRetries]).toEqual(['Turn 2: Two.', 0]);
    expect(wire).toMatchObject({ tokens_evaluated: expect.any(Number), timings: { cache_n: expect.any(Number) } });
    expect(bodies[1]?.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'One.' },
      { role: 'assistant', content: 'Turn 1: One.' },
      { role: 'user', content: 'Two.' },
    ]);
    expect(begun()).toBe(stream ? 2 : 0);
  });
});

it.each(['responses', 'chat'] as const)(
  '%s: a turn that fails says why, one that was sent again says so',
  async (api) => {
    const refused = async () => Response.json({ error: { code: 'overloaded', message: 'no' } }, { status: 503 });
    await expect(conversation(api, false, refused).send('One.')).rejects.toMatchObject({
      ...{ name: 'DiscedgeClientError', code: 'overloaded', status: 503 },
    });
    let calls = 0;
    const once = conversation(api, false, (input, init) => (calls++ === 0 ? refused() : fetch(input, init)));
    expect((await once.send('One.')).clientRetries).toBe(1);
    const gone = conversation(api, false, () => Promise.reject(new TypeError('fetch failed')));
    await expect(gone.send('One.')).rejects.toMatchObject({ code: 'node_unreachable' });
    const left = AbortSignal.abort(new Error('the run was interrupted'));
    await expect(conversation(api, false).send('One.', left)).rejects.toThrow('the run was interrupted');
  },
);
