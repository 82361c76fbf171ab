// An LLM server behind TLS: tries to be taken for one with a certificate that nobody vouches for.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { makeAuthority, makeNodeCertificate } from '../../../src/certificates/certificates.ts';
import { parseClusterName, parseNodeId } from '../../../src/domain/identifiers.ts';
import { ServerConnection } from '../../../src/llm-service/http/server-connection.ts';
import { LLAMA_SERVER } from '../../../src/llm-service/llama-server/server-errors.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const environment = virtualEnvironment();
let folder: string;
let server: Server;
/** For each connection that was made, whether it went on from an earlier one's session. */
const resumed: boolean[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-llm-tls-'));
  await makeAuthority({ dir: folder, cluster: parseClusterName('blue'), days: 90, force: false });
  const nodeId = parseNodeId('llm');
  await makeNodeCertificate({ dir: folder, nodeId, hosts: ['localhost'], days: 90, force: false });
  const [cert, key] = await Promise.all(['node.crt', 'node.key'].map((name) => readFile(join(folder, 'llm', name))));
  server = createServer({ cert, key }, (request, response) => {
    if (request.url === '/llm/stream') response.end('data: 1\n\ndata: 2\n\n');
    else response.end(JSON.stringify({ path: request.url, host: request.headers.host }));
  });
  server.on('secureConnection', (socket: TLSSocket) => resumed.push(socket.isSessionReused()));
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, resolve));
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  resumed.length = 0;
});
afterEach(() => {
  vi.unstubAllEnvs();
});

function connect() {
  const { port } = server.address() as AddressInfo;
  const options = {
    url: `https://localhost:${port}/llm`,
    apiKey: undefined,
    connectTimeoutMs: 5_000,
    idleTimeoutMs: 5_000,
  };
  return { port, connection: new ServerConnection(LLAMA_SERVER, options, environment) };
}

it('is asked for nothing before it is known', async () => {
  const { connection } = connect();
  await expect(connection.get('health')).rejects.toMatchObject({
    code: 'llm_unavailable',
    message: expect.stringContaining('UNABLE_TO_VERIFY'),
  });
  connection.close();
});

it('is spoken with on a kept connection, and again after a stream, in the session that there was', async () => {
  // What vouches for it here is that nothing else listens there.
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  const { connection, port } = connect();
  expect(await connection.get('health')).toEqual({ path: '/llm/health', host: `localhost:${port}` });
  const events: string[] = [];
  const { signal } = new AbortController();
  for await (const batch of connection.stream('stream', '{}', signal)) events.push(...batch);
  expect(events).toEqual(['1', '2']);
  expect(resumed).toEqual([false]);
  await connection.post('completion', '{}');
  expect(resumed).toEqual([false, true]);
  connection.close();
});
