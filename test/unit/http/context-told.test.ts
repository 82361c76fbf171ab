// A conversation that outgrows its window, in each API: what was left out, what stands for it and what was brought back has to be told in
// the reply that it is missing from, whole and streamed. Tries to find one that says nothing of it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

const OVERFLOWS = ['drop-oldest', 'summarize', 'retrieve'] as const;
const TURNS_MAX = 16;
const REPLY = 40;
/** The first turn is what the others are about. */
const said = (turn: number) => (turn === 1 ? 'My cat Whiskers likes tuna.' : `Whiskers ${'m'.repeat(400 + turn)}`);
const lastEvent = (text: string): Json =>
  text
    .split('\n')
    .flatMap((line) => (line.startsWith('data: {') ? [JSON.parse(line.slice(6))] : []))
    .at(-1);

describe.each(OVERFLOWS)('under %s', (overflow) => {
  let node: InProcessNode;
  beforeAll(async () => {
    node = await startTestNode({ contextTokens: 3200, overflow });
  });
  afterAll(() => node.close());

  const names = {
    'drop-oldest': ['dropped_turns'],
    summarize: ['summarized_turns', 'summary_tokens', 'summary_made'],
    retrieve: ['dropped_turns', 'retrieved_turns', 'retrieved_by'],
  }[overflow];
  /** Takes turns until the model has no longer read all of them. */
  async function untilTold(take: (turn: number) => Promise<Json>): Promise<void> {
    for (let turn = 1; turn <= TURNS_MAX; turn++) {
      const told = await take(turn);
      const isLeftOut = (told?.dropped_turns ?? 0) > 0 || told?.summarized_turns !== undefined;
      if (!isLeftOut) continue;
      for (const name of names) expect(told, name).toHaveProperty(name);
      if (overflow === 'summarize') expect(told.dropped_turns).toBe(0);
      return;
    }
    expect.fail(`nothing of ${TURNS_MAX} turns was left out`);
  }
  const posted = async (path: string, body: object): Promise<Json> => {
    const { status, text, body: reply } = await node.post(path, body);
    expect(status, text).toBe(200);
    return reply ?? lastEvent(text);
  };

  it('/completion tells it', () =>
    untilTold((turn) => node.turn({ session_id: 'completion', turn, prompt: said(turn), n_predict: REPLY })));

  it('a chat completion tells it', async () => {
    const messages: Json[] = [];
    await untilTold(async (turn) => {
      messages.push({ role: 'user', content: said(turn) });
      const { choices } = await posted('/v1/chat/completions', { user: 'chat', messages, max_tokens: REPLY });
      messages.push(choices[0].message);
      return choices[0].discedge;
    });
  });

  it("a message of Anthropic's tells it", async () => {
    const messages: Json[] = [];
    await untilTold(async (turn) => {
      messages.push({ role: 'user', content: said(turn) });
      const metadata = { user_id: 'anthropic' };
      const { content, discedge } = await posted('/v1/messages', { metadata, messages, max_tokens: REPLY });
      messages.push({ role: 'assistant', content });
      return discedge;
    });
  });

  it.each([false, true])('a response tells it, streamed: %s', async (stream) => {
    let previous_response_id: string | undefined;
    await untilTold(async (turn) => {
      const previous = previous_response_id === undefined ? {} : { previous_response_id };
      const body = { input: said(turn), user: `r${stream}`, max_output_tokens: REPLY, stream, ...previous };
      const reply = await posted('/v1/responses', body);
      const response = stream ? reply.response : reply;
      previous_response_id = response.id;
      return response.discedge;
    });
  });

  it('the client reads it', async () => {
    const session = new DiscedgeClient({ nodes: node.url }).session();
    await untilTold(async (turn) => {
      const reply = await session.send(said(turn), { maxTokens: REPLY });
      expect(reply.droppedTurns).toBe(reply.wire.dropped_turns);
      expect(reply.summarizedTurns).toBe(reply.wire.summarized_turns ?? 0);
      expect(reply.retrievedTurns).toEqual(reply.wire.retrieved_turns ?? []);
      return reply.wire;
    });
  });
});

it('a response of which all was read says nothing more than OpenAI’s', async () => {
  const node = await startTestNode();
  expect((await node.post('/v1/responses', { input: 'hello' })).body).not.toHaveProperty('discedge');
  await node.close();
});
