// Asks for models as OpenAI's clients do, and makes everything under /v1 go wrong that goes wrong before a route is reached:
// whatever it is, it has to be said in OpenAI's envelope, with the headers that its clients obey.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InProcessNode, startTestNode } from '../../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode({ llm: ['first=scripted', 'second.q8=scripted'] });
});
afterAll(() => node.close());

describe('models', () => {
  it('are listed at both paths alike, and each is found by its name', async () => {
    const { body } = await node.get('/v1/models');
    expect(body).toEqual((await node.get('/models')).body);
    for (const entry of body.data) {
      expect((await node.get(`/v1/models/${encodeURIComponent(entry.id)}`)).body).toEqual(entry);
    }
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(['first', 'second.q8']);
  });

  it('of another name are not there', async () => {
    const { status, body } = await node.get('/v1/models/third');
    expect(status).toBe(404);
    expect(body.error).toMatchObject({ type: 'invalid_request_error', param: 'model', code: 'model_not_found' });
  });
});

describe("what goes wrong under /v1 is said in OpenAI's envelope", () => {
  it.each([
    ['GET', '/v1/nothing', 404, 'route_not_found'],
    ['GET', '/v1', 404, 'route_not_found'],
    ['POST', '/v1/models', 405, 'method_not_allowed'],
    ['GET', '/v1/models/%E0%A4%A', 400, 'invalid_request'],
  ])('%s %s', async (method, path, status, code) => {
    const answer = await node.request(method, path);
    expect(answer.body).toEqual({
      error: { message: expect.any(String), type: 'invalid_request_error', param: null, code },
    });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect(answer.headers.get('x-request-id')).toBeTruthy();
  });
});
