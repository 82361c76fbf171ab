import { once } from 'node:events';
import WebSocket from 'ws';
import { depthFault } from '../../../src/http/requests/json-depth.ts';
import { startTestNode } from '../../../tools/test-node.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const MARK = JSON.stringify({ type: 'is this the end?' });
const ANSWER_MS = 20_000;
const deep = '['.repeat(10_000) + ']'.repeat(10_000);

/** Messages of OpenAI's Responses over a WebSocket: each is answered or refused, and the next one as well. */
export const open: OpenTarget = async () => {
  const node = await startTestNode({ maxWaitMs: 1, replyTokensDefault: 4, replyTokensMax: 8 });
  const { id } = (await node.post('/v1/responses', { input: 'one' })).body;
  let socket: WebSocket | undefined;
  const opened = async () => {
    if (socket?.readyState === WebSocket.OPEN) return socket;
    socket = new WebSocket(`${node.url.replace('http', 'ws')}/v1/responses`);
    socket.on('error', () => {});
    await once(socket, 'open');
    return socket;
  };
  return {
    seeds: [
      { type: 'response.create', input: 'x', max_output_tokens: 4 },
      { type: 'response.create', input: [{ role: 'user', content: 'x' }], generate: false, previous_response_id: id },
      {
        type: 'response.create',
        input: 'x',
        metadata: { a: 'b' },
        tools: [{ type: 'function', name: 'f', parameters: {} }],
      },
    ]
      .map((message) => JSON.stringify(message))
      .concat(`{"type":"response.create","input":[{"role":"user","content":"x","a":${deep}}]}`),
    words: [
      'input',
      'instructions',
      'conversation',
      'text',
      'reasoning',
      'tools',
      'tool_choice',
      'include',
      'truncation',
      'background',
      id,
    ],
    isJson: true,
    keeps: true,
    inputBytesMax: 65_536,
    async check(input) {
      const client = await opened();
      const text = input.toString();
      await new Promise<void>((resolve, reject) => {
        const late = setTimeout(() => done(new Error('no answer')), ANSWER_MS);
        const done = (error?: Error) => {
          clearTimeout(late);
          client.off('message', heard).off('close', closed);
          if (error === undefined) resolve();
          else reject(error);
        };
        const closed = () => done();
        const heard = (data: WebSocket.RawData) => {
          const said = String(data);
          if (said.includes('internal_error')) done(new Error('a crash'));
          // The mark is refused in words that no other message gets; they come in the order of the messages.
          else if (said.includes('type must be response.create') && said.includes('"error"')) {
            if (++refused === expected) done();
          }
        };
        let refused = 0;
        const expected = isRefusedSo(text) ? 2 : 1;
        client.on('message', heard).on('close', closed);
        client.send(text);
        client.send(MARK);
      });
    },
    async close() {
      socket?.terminate();
      await node.close();
    },
  };
};

/** Whether it is refused in the words that the mark is refused in. */
function isRefusedSo(text: string): boolean {
  try {
    const value = JSON.parse(text);
    if (depthFault(value) !== undefined) return false;
    return value !== null && typeof value === 'object' && !Array.isArray(value) && value.type !== 'response.create';
  } catch {
    return false;
  }
}
