// What a well-behaved client of /completion sees over a real socket: fields, streams, replays, cancelling, leaving.
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventsOf, type InProcessNode, type Json, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
/** Answers slowly, so that a turn can be met while it runs. */
let slow: InProcessNode;

beforeAll(async () => {
  node = await startTestNode();
  slow = await startTestNode({ nodeId: 'slow', replyTokensMax: 8192 });
});
afterAll(() => Promise.all([node.close(), slow.close()]));

describe('a turn', () => {
  it("carries llama.cpp's fields and DisCEdge's", async () => {
    const body = { prompt: 'hello', temperature: 0, seed: 1, return_tokens: true };
    const reply = await node.turn(body);
    expect(reply).toMatchObject({
      content: 'Turn 1: hello',
      stop: true,
      model: 'scripted',
      node: 'test',
      user_id: 'anonymous',
      session_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      mode: 'tokenized',
      turn: 1,
      context_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      based_on_turn: 0,
      replayed: false,
      write_concern: 'local',
      replicas: 1,
      retries: 0,
      request_size: JSON.stringify(body).length,
      dropped_turns: 0,
      exact_ids: true,
      truncated: false,
      stop_type: 'eos',
      stopping_word: '',
      tokens_predicted: 14,
    });
    expect(reply.tokens).toHaveLength(14);
    expect(reply.timings).toMatchObject({ cache_n: 0, prompt_n: reply.tokens_evaluated, predicted_n: 14 });
  });

  it('needs only the new message, and the model sees everything', async () => {
    const one = await node.turn({ prompt: 'a' });
    const two = await node.turn({ prompt: 'b', session_id: one.session_id, turn: 2 });
    const three = await node.turn({ prompt: 'c', session_id: one.session_id, context_id: two.context_id });
    expect(three).toMatchObject({ content: 'Turn 3: c', turn: 3 });
    expect(three.timings.cache_n).toBe(two.tokens_cached);
  });

  it.each([
    ['mode', 'raw'],
    ['mode', 'tokenized'],
  ])('%s %s: stop words end the text, limits end the reply', async (_, mode) => {
    const word = await node.turn({ prompt: 'abcdef', mode, stop: ['cd'] });
    expect(word).toMatchObject({ content: 'Turn 1: ab', stop_type: 'word', stopping_word: 'cd' });
    const limit = await node.turn({ prompt: 'abcdef', mode, n_predict: 3 });
    expect(limit).toMatchObject({ content: 'Tur', stop_type: 'limit', tokens_predicted: 3 });
    const after = await node.turn({ prompt: 'g', mode, session_id: limit.session_id, turn: 2 });
    expect(after).toMatchObject({ content: 'Turn 2: g' });
  });

  it('a null is the same as nothing, as for llama.cpp', async () => {
    const nulls = {
      session_id: null,
      turn: null,
      stop: null,
      stream: null,
      seed: null,
      model: null,
      temperature: null,
    };
    expect(await node.turn({ prompt: 'x', ...nulls })).toMatchObject({ turn: 1, content: 'Turn 1: x' });
  });

  it('client-side: a list of texts is several prompts for llama.cpp, and is refused', async () => {
    const answer = await node.post('/completion', { prompt: ['one', 'two'], mode: 'client-side' });
    expect(answer.body.error).toMatchObject({ type: 'invalid_request', param: 'prompt' });
  });

  it('client-side: the prompt is used as it is and nothing is stored', async () => {
    const reply = await node.turn({
      prompt: ['<|im_start|>user\nhi', 257, 10, 256, 'assistant\n'],
      mode: 'client-side',
      session_id: 'mine',
      turn: 4,
      write_concern: 'replicated',
    });
    expect(reply).toMatchObject({
      ...{ content: 'Turn 1: hi', mode: 'client-side', session_id: 'mine', turn: 4, user_id: 'anonymous' },
      ...{ replayed: false, retries: 0, waited_ms: 0, dropped_turns: 0, truncated: false },
    });
    for (const field of ['context_id', 'based_on_turn', 'write_concern', 'replicas']) {
      expect(reply).not.toHaveProperty(field);
    }
    expect((await node.get('/sessions/mine')).status).toBe(404);
  });
});

describe('a stream', () => {
  it('has the same reply as no stream, part by part, and ends with every field', async () => {
    const whole = await node.turn({ prompt: 'streamed or not', session_id: 'whole' });
    const answer = await node.post('/completion', {
      prompt: 'streamed or not',
      session_id: 'streamed',
      stream: true,
      return_tokens: true,
    });
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    const events = eventsOf(answer.text);
    const parts = events.slice(0, -1);
    expect(parts.length).toBeGreaterThan(2);
    expect(parts.every((part) => part.stop === false)).toBe(true);
    expect(parts.map((part) => part.content).join('')).toBe(whole.content);
    const last = events.at(-1);
    expect(parts.flatMap((part) => part.tokens)).toEqual(last.tokens);
    expect(Object.keys(last).sort()).toEqual(Object.keys(whole).sort());
  });

  it('a turn that fails before the first part has its HTTP status', async () => {
    const answer = await node.post('/completion', { prompt: 'x', session_id: 'none', turn: 2, stream: true });
    expect(answer.status).toBe(404);
  });
});

describe('a repeated turn', () => {
  it.each([false, true])('is answered from the record, stream %s', async (stream) => {
    const first = await node.turn({ prompt: 'once', session_id: `repeat-${stream}`, temperature: 0.5, top_k: 3 });
    const again = await node.turn({
      top_k: 3,
      prompt: 'once',
      turn: 1,
      session_id: first.session_id,
      temperature: 0.5,
      stream,
      max_wait_ms: 5,
    });
    expect(again).toMatchObject({ content: first.content, context_id: first.context_id, replayed: true });
  });

  it('at once, twenty times: one effect', async () => {
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, i) => node.turn({ prompt: 'burst', session_id: 'burst', stream: i % 2 === 0 })),
    );
    expect(replies.filter((reply) => !reply.replayed)).toHaveLength(1);
    expect(new Set(replies.map((reply) => reply.content))).toEqual(new Set(['Turn 1: burst']));
  });
});

/** Starts a streamed turn and resolves when its first part has arrived. */
function startedTurn(target: InProcessNode, body: Json): Promise<{ leave: () => void; rest: Promise<string> }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      `${target.url}/completion`,
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      (response) => {
        let text = '';
        const rest = new Promise<string>((done) => response.on('close', () => done(text)));
        response.on('error', () => {});
        response.on('data', (chunk) => {
          text += chunk;
          resolve({ leave: () => request.destroy(), rest });
        });
      },
    );
    request.on('error', reject);
    request.end(JSON.stringify({ ...body, stream: true }));
  });
}

const LONG = 'long '.repeat(20_000);

describe('a turn under way', () => {
  it('is finished and stored when its client leaves, so that a retry is a replay', async () => {
    const body = { prompt: LONG, session_id: 'left', n_predict: 8000 };
    const { leave } = await startedTurn(slow, body);
    leave();
    const retry = await slow.turn(body);
    expect(retry).toMatchObject({ replayed: true, turn: 1 });
    expect(retry.content.length).toBeGreaterThan(1000);
  });

  it('stores nothing when it is cancelled', async () => {
    const body = { prompt: LONG, session_id: 'cancelled', n_predict: 8000 };
    const { rest } = await startedTurn(slow, body);
    expect((await slow.post('/sessions/cancelled/cancel', {})).body).toEqual({ cancelled: true });
    expect(eventsOf(await rest).at(-1)).toMatchObject({ error: { type: 'turn_cancelled' } });
    expect((await slow.get('/sessions/cancelled')).status).toBe(404);
    expect((await slow.post('/sessions/cancelled/cancel', {})).body).toEqual({ cancelled: false });
    expect(await slow.turn(body)).toMatchObject({ replayed: false });
  });

  it('cannot be cancelled by another user', async () => {
    const { leave } = await startedTurn(slow, { prompt: LONG, session_id: 'guarded', n_predict: 8000 });
    expect((await slow.post('/sessions/guarded/cancel?user_id=mallory', {})).body).toEqual({ cancelled: false });
    expect((await slow.post('/sessions/guarded/cancel', {})).body).toEqual({ cancelled: true });
    leave();
  });
});
