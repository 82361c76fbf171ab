import { Agent, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';

/** Passes every POST to the server at `url` and its answer back, neither looked at: the least that anything in front of an LLM does. */
export async function listenRelay(url: string): Promise<number> {
  const app = Fastify();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  const agent = new Agent({ keepAlive: true });
  app.post('*', async ({ url: path, body }, reply) => {
    const answer = await posted(`${url}${path}`, body as Buffer, agent);
    reply.code(answer.statusCode ?? 502).headers(answer.headers);
    return answer;
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  return (app.server.address() as AddressInfo).port;
}

function posted(url: string, body: Buffer, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    request(url, { method: 'POST', headers, agent }, resolve).on('error', reject).end(body);
  });
}
