import { Agent, request as send } from 'node:http';
import { startTestNode } from '../../../tools/test-node.ts';
import type { OpenTarget } from '../fuzz-target.ts';
import { someRequests } from '../some-requests.ts';

interface Sent {
  readonly at?: unknown;
  readonly headers?: unknown;
  readonly body?: unknown;
}

/** Far longer than any answer of a scripted model of these few tokens. */
const ANSWER_MS = 20_000;

/** Requests of all APIs, with bodies, paths, queries and headers that nobody expects: each gets an answer, and none is a crash. */
export const open: OpenTarget = async () => {
  const node = await startTestNode({
    maxWaitMs: 1,
    replicatedWaitMs: 1,
    maxWaitMsLimit: 5,
    replyTokensDefault: 8,
    replyTokensMax: 16,
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { seeds, words } = await someRequests(node);
  return {
    seeds: seeds.map((seed) => JSON.stringify(seed)),
    words,
    isJson: true,
    keeps: true,
    inputBytesMax: 16_384,
    async check(input) {
      const { at, headers, body } = sentBy(input);
      const [method = 'POST', path = '/completion'] = (typeof at === 'string' ? at : '').split(' ');
      const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body === undefined ? '' : JSON.stringify(body));
      await new Promise<void>((resolve, reject) => {
        // What Node.js does not send at all is no request.
        const request = requestOf(() =>
          send(node.url, {
            ...{ agent, method, path, timeout: ANSWER_MS },
            headers: { 'content-type': 'application/json', ...(typeof headers === 'object' ? headers : {}) },
          }),
        );
        if (request === undefined) return resolve();
        request.on('response', (response) => {
          const { statusCode = 0 } = response;
          if (statusCode === 500)
            reject(new Error(`500 for ${method} ${path.split('?')[0]?.replace(/[^/]{12,}/g, '*')}`));
          // A stream that breaks off in the middle is how a crash looks there.
          let text = '';
          response.setEncoding('utf8').on('data', (piece: string) => {
            text += piece;
          });
          response.on('end', () => (text.includes('internal_error') ? reject(new Error('a crash')) : resolve()));
          response.on('error', reject);
        });
        request.on('timeout', () => request.destroy(new Error('no answer')));
        request.on('error', (error) => (error.message === 'no answer' ? reject(error) : resolve()));
        request.end(bytes);
      });
    },
    async close() {
      agent.destroy();
      await node.close();
    },
  };
};

function requestOf<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}

/** What is no JSON is sent as a body. */
function sentBy(input: Buffer): Sent {
  try {
    const value: unknown = JSON.parse(input.toString());
    if (typeof value === 'object' && value !== null) return value as Sent;
  } catch {
    // Said below.
  }
  return { at: 'POST /completion', body: input };
}
