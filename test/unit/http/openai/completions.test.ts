// Plain completions through OpenAI's own client: prompts of every form, several at once, echoed and streamed. Tries to get one
// prompt's reply under another's number, and anything written.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventsOf, type InProcessNode, type Json, startTestNode } from '../../../../tools/test-node.ts';

let node: InProcessNode;
let openai: OpenAI;
beforeAll(async () => {
  node = await startTestNode();
  openai = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
afterAll(() => node.close());

const create = (body: object): Promise<Json> =>
  openai.completions.create({ model: 'any', prompt: 'x', ...body } as never) as Promise<Json>;
const prompt = (text: string) => `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`;
const idsOf = async (text: string): Promise<number[]> => (await node.post('/tokenize', { content: text })).body.tokens;

describe('a completion', () => {
  it('goes on with a text, with ids, with several of either', async () => {
    const [one, two] = [prompt('one'), prompt('two')];
    const texts = async (asked: unknown) => (await create({ prompt: asked })).choices.map(({ text }: Json) => text);
    expect(await texts(one)).toEqual(['Turn 1: one']);
    expect(await texts([one, two])).toEqual(['Turn 1: one', 'Turn 1: two']);
    expect(await texts(await idsOf(one))).toEqual(['Turn 1: one']);
    expect(await texts([await idsOf(two), await idsOf(one)])).toEqual(['Turn 1: two', 'Turn 1: one']);
  });

  it('has n replies to each prompt, the first prompt first, and counts each prompt once', async () => {
    const { choices, usage } = await create({ prompt: [prompt('a'), prompt('bb')], n: 2 });
    expect(choices.map(({ index, text }: Json) => [index, text])).toEqual([
      [0, 'Turn 1: a'],
      [1, 'Turn 1: a'],
      [2, 'Turn 1: bb'],
      [3, 'Turn 1: bb'],
    ]);
    const lengths = [await idsOf(prompt('a')), await idsOf(prompt('bb'))].map(({ length }) => length);
    expect(usage.prompt_tokens).toBe((lengths[0] ?? 0) + (lengths[1] ?? 0));
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
  });

  it('has many replies side by side, and Node.js warns of nothing', async () => {
    const warnings: string[] = [];
    const note = ({ name }: Error) => warnings.push(name);
    process.on('warning', note);
    const { choices } = await create({ prompt: Array.from({ length: 6 }, () => prompt('a')), n: 2 });
    process.off('warning', note);
    expect(choices).toHaveLength(12);
    expect(warnings).toEqual([]);
  });

  it('begins with its prompt where that is asked for', async () => {
    expect((await create({ prompt: prompt('say'), echo: true })).choices[0].text).toBe(`${prompt('say')}Turn 1: say`);
  });

  it('says where it was cut', async () => {
    expect((await create({ prompt: prompt('long'), max_tokens: 4 })).choices[0]).toMatchObject({
      text: 'Turn',
      finish_reason: 'length',
    });
  });

  it('streamed of which one fails has the whole of the others, and then the error', async () => {
    const recalled = 'word '.repeat(800);
    const small = await startTestNode({ contextTokens: 12_000 });
    const body = { prompt: [prompt(`Recall ${recalled}`), 'x'.repeat(13_000)], stream: true, max_tokens: 6_000 };
    const { text } = await small.post('/v1/completions', body);
    await small.close();
    const events = eventsOf(text);
    expect(events.pop()).toMatchObject({ error: { code: 'context_length_exceeded' } });
    expect(
      events
        .flatMap(({ choices }) => choices)
        .map((choice) => choice.text)
        .join(''),
    ).toContain(recalled.trim());
  });

  it('streamed has the pieces of each under its number', async () => {
    const body = { prompt: [prompt('a'), prompt('b')], stream: true, stream_options: { include_usage: true } };
    const { text } = await node.post('/v1/completions', body);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    const chunks = eventsOf(text.replace('data: [DONE]\n\n', ''));
    for (const [index, whole] of ['Turn 1: a', 'Turn 1: b'].entries()) {
      const own = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
      expect(own.map((choice) => choice.text).join('')).toBe(whole);
      expect(own.at(-1).finish_reason).toBe('stop');
    }
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: expect.any(Number) } });
  });

  it('writes nothing', async () => {
    expect((await node.get('/ready')).body.store.records).toBe(0);
  });
});

describe('is refused by name', () => {
  it.each<[object, string, string]>([
    [{ suffix: 'end' }, 'suffix', 'unsupported_parameter'],
    [{ best_of: 2 }, 'best_of', 'unsupported_parameter'],
    [{ messages: [] }, 'messages', 'invalid_request'],
    [{ prompt: '' }, 'prompt', 'invalid_request'],
    [{ prompt: [] }, 'prompt', 'invalid_request'],
    [{ prompt: Array.from({ length: 17 }, () => 'x') }, 'prompt', 'invalid_request'],
    [{ prompt: [1e9] }, 'prompt', 'invalid_request'],
    [{ echo: true, stream: true }, 'echo', 'invalid_request'],
    [{ logprobs: 6 }, 'logprobs', 'invalid_request'],
  ])('%j', async (body, param, code) => {
    const answer = await node.post('/v1/completions', { prompt: 'x', ...body });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ param, code });
  });
});
