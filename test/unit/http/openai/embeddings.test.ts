// Embeddings through OpenAI's own client, which asks for them as base64 unless told otherwise, and what is refused.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';

let node: InProcessNode;
let openai: OpenAI;
beforeAll(async () => {
  node = await startTestNode();
  openai = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'any', maxRetries: 0 });
});
afterAll(() => node.close());

const vectorsOf = async (input: string | string[] | number[] | number[][], encoding_format?: 'float' | 'base64') => {
  const { data } = await openai.embeddings.create({ model: 'any', input, ...(encoding_format && { encoding_format }) });
  return data.map(({ index, embedding }) => [index, embedding] as const);
};

describe('embeddings', () => {
  it('are one for each input, in order, whatever form it was sent in', async () => {
    const [[, one], [, two]] = (await vectorsOf(['one', 'three'], 'float')) as [[number, number[]], [number, number[]]];
    expect(one).not.toEqual(two);
    expect(await vectorsOf('three', 'float')).toEqual([[0, two]]);
    expect(await vectorsOf([...Buffer.from('one')], 'float')).toEqual([[0, one]]);
    const lists = ['three', 'one'].map((text) => [...Buffer.from(text)]);
    expect(await vectorsOf(lists, 'float')).toEqual([
      [0, two],
      [1, one],
    ]);
  });

  it('are the same numbers in base64, but for what 32 bits leave out', async () => {
    const [[, exact]] = (await vectorsOf('abc', 'float')) as [[number, number[]]];
    expect(await vectorsOf('abc')).toEqual([[0, exact.map(Math.fround)]]);
  });

  it.each<[object, string, string]>([
    [{ dimensions: 4 }, 'dimensions', 'unsupported_parameter'],
    [{ prompt: 'x' }, 'prompt', 'invalid_request'],
    [{ input: [] }, 'input', 'invalid_request'],
    [{ input: '' }, 'input', 'invalid_request'],
    [{ input: Array.from({ length: 257 }, () => 'x') }, 'input', 'invalid_request'],
    [{ encoding_format: 'int8' }, 'encoding_format', 'invalid_request'],
  ])('refuse %j by name', async (body, param, code) => {
    const answer = await node.post('/v1/embeddings', { input: 'x', ...body });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({ param, code });
  });
});
