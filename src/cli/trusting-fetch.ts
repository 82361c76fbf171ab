import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { Readable } from 'node:stream';

/**
 * A `fetch` that takes certificates of this authority (PEM) alone: Node.js's own takes what `NODE_EXTRA_CA_CERTS` named when the
 * process began. Follows no redirects, which nodes do not send.
 */
export function trustingFetch(authority: string): (input: string, init?: RequestInit) => Promise<Response> {
  const agent = new Agent({ keepAlive: true, ca: authority });
  const plainAgent = new HttpAgent({ keepAlive: true });
  return (input, { method = 'GET', headers, body, signal } = {}) =>
    new Promise((resolve, reject) => {
      const isSecure = input.startsWith('https:');
      const options = {
        method,
        headers: Object.fromEntries(new Headers(headers)),
        ...(signal != null && { signal }),
      };
      const receive = (answer: IncomingMessage) => resolve(responseOf(answer));
      const sent = isSecure
        ? request(input, { ...options, agent }, receive)
        : httpRequest(input, { ...options, agent: plainAgent }, receive);
      sent.once('error', reject);
      sent.end(body);
    });
}

function responseOf(answer: IncomingMessage): Response {
  const headers = new Headers();
  for (const [name, value] of Object.entries(answer.headers)) headers.set(name, String(value));
  const { statusCode: status = 0 } = answer;
  const isEmpty = status === 204 || status === 304;
  if (isEmpty) answer.resume();
  return new Response(isEmpty ? null : (Readable.toWeb(answer) as ReadableStream), { status, headers });
}
