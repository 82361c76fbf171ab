// What llama.cpp's clients read beside the text: fields of replies and of events, and what they ask for by name. Tries to make
// a field say something else than what happened, and a request for one be dropped without a word.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isWanted } from '../../../src/http/dialects/llama-cpp/response-fields.ts';
import { eventsOf, type InProcessNode, startTestNode } from '../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode({ contextTokens: 400, replyTokensMax: 10_000 });
});
afterAll(() => node.close());

const ENDLESS = { ignore_eos: true, n_predict: -1 };

describe('a reply that the context window cuts', () => {
  it.each(['tokenized', 'client-side'])('%s: is called truncated', async (mode) => {
    const reply = await node.turn({ prompt: 'x'.repeat(40), mode, ...ENDLESS });
    expect(reply).toMatchObject({ truncated: true, stop_type: 'limit' });
    expect(reply.tokens_evaluated + reply.tokens_predicted).toBe(400);
    expect(reply.tokens_cached).toBe(399);
    const short = await node.turn({ prompt: 'x', mode, n_predict: 3 });
    expect(short).toMatchObject({ truncated: false, stop_type: 'limit' });
    expect(short.tokens_cached).toBe(short.tokens_evaluated + 2);
  });

  it('and so is its replay', async () => {
    const turn = { prompt: 'x', session_id: 'full', turn: 1, ...ENDLESS };
    expect(await node.turn(turn)).toMatchObject({ truncated: true, replayed: false });
    const replay = await node.turn(turn);
    expect(replay).toMatchObject({ truncated: true, replayed: true, id_slot: -1, tokens_cached: 0 });
    expect(replay).not.toHaveProperty('generation_settings');
  });
});

it("a reply has llama.cpp's further fields", async () => {
  const prompt = 'two\nlines';
  const reply = await node.turn({ prompt, n_predict: 40, stop: 'zz', temperature: 0 });
  expect(reply).toMatchObject({ index: 0, id_slot: 0, has_new_line: true, prompt });
  expect(reply.generation_settings).toMatchObject({ n_predict: 40, max_tokens: 40, stop: ['zz'], stream: false });
  const whole = await node.turn({ prompt: [256, 'a', 257], mode: 'client-side' });
  expect(whole).toMatchObject({ prompt: '<|im_start|>a<|im_end|>', has_new_line: false });
});

describe('response_fields', () => {
  it('leave of a reply what they name, whole or streamed', async () => {
    const names = ['content', 'generation_settings/n_predict', 'timings', 'session_id', 'nothing/of/this', 'stop/x'];
    const asked = { prompt: 'hi', n_predict: 50, response_fields: names };
    const whole = (await node.post('/completion', asked)).body;
    expect(whole).toEqual({
      content: 'Turn 1: hi',
      'generation_settings/n_predict': 50,
      timings: expect.objectContaining({ predicted_n: 11 }),
      session_id: expect.any(String),
    });
    const events = eventsOf((await node.post('/completion', { ...asked, stream: true })).text);
    expect(events.at(-1)).toMatchObject({ content: '', 'generation_settings/n_predict': 50 });
    expect(Object.keys(events.at(-1))).toHaveLength(4);
    expect(events[0]).toMatchObject({ stop: false, content: 'Turn' });
  });

  it('that leave a field out are known to', () => {
    for (const names of [undefined, [], ['content', 'prompt'], ['prompt/x']])
      expect(isWanted('prompt', names)).toBe(true);
    for (const names of [['content'], ['promptly', 'a/prompt']]) expect(isWanted('prompt', names)).toBe(false);
  });

  it('that name none leave all, and an error is whole', async () => {
    expect((await node.post('/completion', { prompt: 'x', response_fields: [] })).body).toHaveProperty('stop', true);
    const wrong = await node.post('/completion', {
      prompt: 'x',
      turn: 9,
      session_id: 'no',
      response_fields: ['content'],
    });
    expect(wrong.status).toBeGreaterThanOrEqual(400);
    expect(wrong.body.error.type).toEqual(expect.any(String));
    expect((await node.post('/completion', { prompt: 'x', response_fields: 'content' })).status).toBe(400);
  });
});

describe('the events of a stream', () => {
  it('count, and tell of the prompt and of the time where that is asked for', async () => {
    const asked = { prompt: 'hello', stream: true, return_progress: true, timings_per_token: true };
    const events = eventsOf((await node.post('/completion', asked)).text);
    const end = events.at(-1);
    const [progress, ...parts] = events.slice(0, -1);
    const total = end.tokens_evaluated;
    expect(progress).toMatchObject({ content: '', tokens: [], tokens_predicted: 0, tokens_evaluated: total });
    expect(progress.prompt_progress).toEqual({ total, cache: end.timings.cache_n, processed: total, time_ms: 0 });
    let predicted = 0;
    for (const part of parts) {
      predicted += part.tokens.length;
      expect(part).toMatchObject({ index: 0, id_slot: -1, tokens_predicted: predicted, tokens_evaluated: total });
      expect(part.timings).toMatchObject({ predicted_n: predicted, cache_n: end.timings.cache_n });
    }
    expect(predicted).toBe(end.tokens_predicted);
  });

  it('say no more than they are asked for', async () => {
    const events = eventsOf((await node.post('/completion', { prompt: 'hello', stream: true })).text);
    for (const event of events.slice(0, -1)) {
      expect(Object.keys(event).sort()).toEqual(
        ['content', 'id_slot', 'index', 'stop', 'tokens', 'tokens_evaluated', 'tokens_predicted'].sort(),
      );
    }
  });
});

describe('n_predict 0', () => {
  it.each(['tokenized', 'raw'])('%s: evaluates the prompt of a turn to come, and takes no turn', async (mode) => {
    const filled = await node.turn({ prompt: 'hello', mode, n_predict: 0 });
    expect(filled).toMatchObject({
      content: '',
      tokens: [],
      tokens_predicted: 0,
      stop_type: 'limit',
      based_on_turn: 0,
      mode,
    });
    for (const field of ['turn', 'context_id', 'write_concern']) expect(filled).not.toHaveProperty(field);
    const { session_id } = filled;
    expect((await node.get(`/sessions/${session_id}`)).status).toBe(404);

    const first = await node.turn({ prompt: 'hello', mode, session_id, turn: 1 });
    expect(first).toMatchObject({ turn: 1, replayed: false, timings: { prompt_n: 1 } });
    const next = { prompt: 'again', session_id, turn: 2 };
    const second = await node.turn({ ...next, n_predict: 0 });
    expect(second).toMatchObject({ based_on_turn: 1, based_on_context: first.context_id });
    expect(await node.turn(next)).toMatchObject({ turn: 2, content: 'Turn 2: again', timings: { prompt_n: 1 } });
    expect((await node.get(`/sessions/${session_id}`)).body.turns).toHaveLength(2);
  });

  it('is refused where the turn could not be taken', async () => {
    const { session_id } = await node.turn({ prompt: 'x' });
    const at = (turn: number) => node.post('/completion', { prompt: 'y', session_id, turn, n_predict: 0 });
    expect((await at(1)).body.error.type).toBe('turn_conflict');
    expect((await at(5)).body.error.type).toBe('context_stale');
  });

  it('client-side, streamed: the end alone', async () => {
    const asked = { prompt: 'hello', mode: 'client-side', n_predict: 0, stream: true };
    const events = eventsOf((await node.post('/completion', asked)).text);
    expect(events).toMatchObject([
      { content: '', stop: true, tokens_evaluated: 5, tokens_cached: 5, tokens_predicted: 0 },
    ]);
  });
});

it("an overflow is llama.cpp's, with its lengths", async () => {
  const prompt = 'x'.repeat(500);
  for (const mode of ['tokenized', 'raw', 'client-side']) {
    const { status, body } = await node.post('/completion', { prompt, mode });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ type: 'exceed_context_size_error', n_ctx: 400, param: 'prompt' });
    expect(body.error.n_prompt_tokens).toBeGreaterThanOrEqual(500);
  }
});
