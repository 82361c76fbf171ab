// What is sent beside what is understood: parameters in the URL that a route does not know, halves of surrogate pairs in fields that
// are not messages, handshakes that are none. Each has to be named, none passed over.
import { request } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type InProcessNode, type Json, startTestNode } from '../../../../tools/test-node.ts';

let node: InProcessNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.close());

it('parameters of the URL that a route does not know are refused by name', async () => {
  const refused = (param: string) => ({ code: 'invalid_request', param });
  for (const [path, param] of [
    ['/v1/models?limit=1', 'limit'],
    ['/v1/responses/resp_x?starting_aftr=1', 'starting_aftr'],
    ['/v1/conversations/conv_x/items?ordre=asc', 'ordre'],
  ] as const) {
    const { status, body } = await node.get(path);
    expect([status, body.error]).toEqual([400, expect.objectContaining(refused(param))]);
  }
  const { status, body } = await node.post('/v1/chat/completions?stream=true', { messages: [] });
  expect([status, body.error]).toEqual([400, expect.objectContaining(refused('stream'))]);
  expect((await node.get('/v1/responses/resp_x?stream=true&starting_after=1')).status).toBe(404);
});

it.each([
  '/v1/responses/resp_x',
  '/v1/responses/resp_x/input_items',
  '/v1/conversations/conv_x/items',
  '/v1/conversations/conv_x/items/msg_x',
])('what %s cannot include is refused by name, and what no item has changes nothing', async (path) => {
  const included = async (query: string) => {
    const { status, body } = await node.get(`${path}?${query}`);
    return [status, body.error.code, body.error.param];
  };
  const nothing = ['web_search_call.action.sources', 'message.input_image.image_url', 'file_search_call.results'];
  const harmless = nothing.map((name) => `include[]=${name}`).join('&');
  expect((await node.get(`${path}?${harmless}`)).status).toBe(404);
  expect((await node.get(`${path}?include=${nothing[0]}`)).status).toBe(404);
  const unsupported = [400, 'unsupported_parameter', 'include'];
  for (const name of ['reasoning.encrypted_content', 'message.output_text.logprobs']) {
    expect(await included(`${harmless}&include[]=${name}`)).toEqual(unsupported);
    expect(await included(`include=${name}`)).toEqual(unsupported);
  }
  for (const unknown of ['include[]=x', 'include=x', 'include=', `include=${nothing[0]}&include=x`])
    expect(await included(unknown)).toEqual([400, 'invalid_request', 'include']);
});

it('a list of what no one can ask to include anything of has no such parameter', async () => {
  const { status, body } = await node.get('/v1/chat/completions/chatcmpl_x/messages?include[]=x');
  expect([status, body.error.code]).toEqual([400, 'invalid_request']);
});

it.each([
  ['/v1/responses', { input: 'x', metadata: { k: '\ud800' } }, 'metadata.k'],
  ['/v1/responses', { input: 'x', metadata: { '\udc00': 'v' } }, 'metadata.\ufffd'],
  ['/v1/responses', { input: 'x', instructions: 'a\ud800b' }, 'instructions'],
  ['/v1/responses', { input: 'x', text: { format: { schema: { enum: ['\ud800'] } } } }, 'text.format.schema.enum.0'],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], stop: ['\ud800'] }, 'stop.0'],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: '\ud800' }] }, 'messages.0.content'],
  ['/v1/conversations', { metadata: { k: '\ud800' } }, 'metadata.k'],
])('half a surrogate pair in a field of %s is refused with its place', async (path, body, param) => {
  const { status, body: answer } = await node.post(path, body);
  expect([status, answer.error.code, answer.error.param]).toEqual([400, 'invalid_request', param]);
});

it('a handshake that is none is answered as everything else', async () => {
  const headers = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const answer = await new Promise<{ status: number | undefined; body: Json }>((resolve, reject) => {
    const sent = request(`${node.url}/v1/responses`, { headers }, (response) => {
      let text = '';
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end();
  });
  expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
});
