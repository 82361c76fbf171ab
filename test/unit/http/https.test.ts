// Real TLS to a node in this process: tries to get past it with another authority, an old protocol and no certificate where one is
// asked for, changes the files under it, well and badly, and has it stop while a client is in the middle of a handshake.
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { makeAuthority, makeNodeCertificate } from '../../../src/certificates/certificates.ts';
import type { HttpsCertificate } from '../../../src/certificates/https-certificate.ts';
import { trustingFetch } from '../../../src/cli/trusting-fetch.ts';
import { DiscedgeClient } from '../../../src/client/client.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { checkHttps } from '../../../src/doctor/certificate-checks.ts';
import { parseClusterName, parseNodeId } from '../../../src/domain/identifiers.ts';
import { openHttps } from '../../../src/edge-node/open-https.ts';
import { tlsServerOptions } from '../../../src/http/connections/tls-server.ts';
import { watchedEnvironment } from '../../../tools/supervised-nats.ts';
import { type InProcessNode, startTestNode } from '../../../tools/test-node.ts';
import { eventually } from '../../support/sharing-store-node.ts';

let folder: string;
const cluster = parseClusterName('blue');
const nodes: InProcessNode[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'discedge-https-'));
  for (const name of ['ours', 'theirs']) {
    await makeAuthority({ dir: join(folder, name), cluster, days: 90, force: false });
    await certificate(name, 'test');
  }
});
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});
afterAll(() => rm(folder, { recursive: true }));

it('serves every kind of request over TLS, and advertises itself so', async () => {
  const node = await start(await copied('all'));
  expect(node.url).toMatch(/^https:/);
  const client = new DiscedgeClient({ nodes: node.url, fetch: trustingFetch(await ca('ours')) });
  const session = client.session();
  let streamed = '';
  for await (const part of session.stream('one')) streamed += part;
  expect(streamed).not.toBe('');
  expect((await session.send('two')).turn).toBe(2);
  const openai = new OpenAI({
    baseURL: `${node.url}/v1`,
    apiKey: 'none',
    fetch: trustingFetch(await ca('ours')) as unknown as typeof fetch,
  });
  expect((await openai.responses.create({ model: 'scripted', input: 'hello' })).output_text).not.toBe('');
  const socket = new WebSocket(`${node.url.replace('https', 'wss')}/v1/responses`, { ca: await ca('ours') });
  const event = await new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('open', () => socket.send(JSON.stringify({ type: 'response.create', model: 'scripted', input: 'hi' })));
    socket.once('message', (data) => resolve(JSON.parse(String(data)).type));
  });
  expect(event).toBe('response.created');
  socket.terminate();
  expect((await ask(node, { headers: { connection: 'upgrade', upgrade: 'h2c' } })).status).toBe(200);
});

it('is not trusted under another authority, and speaks neither old TLS nor plain HTTP', async () => {
  const node = await start(await copied('trust'));
  const { port, host } = node.node.address;
  await expect(trustingFetch(await ca('theirs'))(`${node.url}/health`, {})).rejects.toThrow(
    /unable to verify|signature/,
  );
  await expect(fetch(`${node.url}/health`)).rejects.toThrow();
  await expect(fetch(`http://${host}:${port}/health`)).rejects.toThrow();
  const old = { port, host, ca: await ca('ours'), maxVersion: 'TLSv1.1', minVersion: 'TLSv1' } as const;
  await expect(secured(connect({ ...old, ciphers: 'DEFAULT@SECLEVEL=0' }))).rejects.toThrow(/protocol|alert/i);
  expect((await ask(node)).status).toBe(200);
});

it('takes up new files while connections go on', async () => {
  const files = await copied('renewed');
  const node = await start(files);
  const before = await secured(await open(node.node.address));
  const first = fingerprint(before);
  await certificate('ours', 'test', true);
  await copyFile(join(folder, 'ours/test/node.crt'), files.tlsCertFile);
  await copyFile(join(folder, 'ours/test/node.key'), files.tlsKeyFile);
  await eventually(async () => expect(await served(node.node.address)).not.toBe(first));
  before.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const answer = await new Promise((resolve) => before.once('data', (data) => resolve(String(data))));
  expect(answer).toContain('200 OK');
  before.destroy();
});

it('keeps what it has where new files are broken or do not belong together, and tells of it once', async () => {
  const { tlsCertFile: certFile, tlsKeyFile: keyFile } = await copied('broken');
  const environment = watchedEnvironment(50);
  const https = await openHttps({ https: { certFile, keyFile, clientCaFile: undefined } }, environment);
  const server = createServer(tlsServerOptions(https?.certificate as HttpsCertificate));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  https?.follow(server);
  const told = (event: string, times: number) =>
    eventually(() => expect(environment.logLines.filter((line) => line.event === event)).toHaveLength(times));
  try {
    const first = await served(address);
    await copyFile(join(folder, 'theirs/test/node.crt'), certFile);
    await told('https_certificate_unusable', 1);
    expect(await served(address)).toBe(first);
    await writeFile(certFile, 'no certificate');
    await told('https_certificate_unusable', 2);
    await rm(keyFile);
    await told('https_certificate_unusable', 3);
    expect(await served(address)).toBe(first);
    // The key first: the pair is whole only with the certificate.
    await copyFile(join(folder, 'ours/test/node.key'), keyFile);
    await told('https_certificate_unusable', 4);
    await certificate('ours', 'test', true);
    await copyFile(join(folder, 'ours/test/node.key'), keyFile);
    await copyFile(join(folder, 'ours/test/node.crt'), certFile);
    await told('https_certificate_renewed', 1);
    expect(await served(address)).not.toBe(first);
    expect(await environment.metric('discedge_https_certificate_expires_timestamp_seconds')).toBeGreaterThan(1.7e9);
  } finally {
    await https?.close();
    server.close();
  }
});

it('lets nobody in without a certificate where clients need one', async () => {
  const node = await start({ ...(await copied('mutual')), tlsClientCaFile: join(folder, 'ours/ca.crt') });
  const shown = async (name: string) => ({
    cert: await text(join(folder, name, 'test/node.crt')),
    key: await text(join(folder, name, 'test/node.key')),
  });
  await expect(ask(node)).rejects.toThrow(/alert|hang up|ECONNRESET/);
  await expect(ask(node, await shown('theirs'))).rejects.toThrow(/alert|hang up|ECONNRESET/);
  expect((await ask(node, await shown('ours'))).status).toBe(200);
});

it('stops at once though a client never gets to TLS', async () => {
  const node = await start(await copied('silent'));
  const silent = connectTcp({ port: node.node.address.port, host: node.node.address.host });
  await new Promise((resolve) => silent.once('connect', resolve));
  expect((await ask(node)).status).toBe(200);
  const closed = new Promise((resolve) => silent.once('close', resolve));
  silent.on('error', () => {});
  silent.resume();
  await Promise.all([closed, node.close()]);
  // Sooner than the handshake is given up.
}, 8_000);

it('does not start with files that cannot be used, nor with half of them', async () => {
  const files = await copied('unusable');
  await copyFile(join(folder, 'theirs/test/node.key'), files.tlsKeyFile);
  await expect(start(files)).rejects.toMatchObject({ code: 'certificate_unusable' });
  await expect(start({ tlsCertFile: files.tlsCertFile })).rejects.toThrow('--tls-cert-file needs tls-key-file');
  await expect(start({ tls: true })).rejects.toThrow('--tls needs certs-dir');
  await expect(start({ tlsClientCaFile: files.tlsCertFile })).rejects.toThrow('--tls-client-ca-file needs tls');
});

it('is told of by the doctor, and so is a certificate that ends soon', async () => {
  const https = { certFile: join(folder, 'ours/test/node.crt'), keyFile: join(folder, 'ours/test/node.key') };
  const config = { ...loadConfig({ env: {} }), https: { ...https, clientCaFile: undefined } };
  const outcomes = (days: number) =>
    checkHttps(config, Date.now() + days * 86_400_000).then((checks) => checks.map(({ outcome }) => outcome));
  expect(await outcomes(0)).toEqual(['ok']);
  expect(await outcomes(80)).toEqual(['warn']);
  expect(await outcomes(91)).toEqual(['missing']);
});

async function start(flags: Record<string, unknown>): Promise<InProcessNode> {
  const node = await startTestNode({ nodeId: 'test', ...flags });
  nodes.push(node);
  return node;
}

async function certificate(authority: string, nodeId: string, force = false): Promise<void> {
  const dir = join(folder, authority);
  await makeNodeCertificate({ dir, nodeId: parseNodeId(nodeId), hosts: ['edge.example'], days: 90, force });
}

/** Files of the node's own, which the test may change. */
async function copied(name: string): Promise<{ tlsCertFile: string; tlsKeyFile: string }> {
  const [tlsCertFile, tlsKeyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  await copyFile(join(folder, 'ours/test/node.crt'), tlsCertFile);
  await copyFile(join(folder, 'ours/test/node.key'), tlsKeyFile);
  return { tlsCertFile, tlsKeyFile };
}

async function text(path: string): Promise<string> {
  return readFile(path, 'utf8');
}

const ca = (authority: string) => text(join(folder, authority, 'ca.crt'));

async function ask(
  node: InProcessNode,
  options: Record<string, unknown> = {},
): Promise<{ status: number | undefined }> {
  const authority = await ca('ours');
  return new Promise((resolve, reject) => {
    const sent = request(`${node.url}/health`, { ca: authority, agent: false, ...options }, (answer) => {
      answer.resume();
      resolve({ status: answer.statusCode });
    });
    sent.once('error', reject);
    sent.end();
  });
}

interface Address {
  readonly host: string;
  readonly port: number;
}

async function open({ host, port }: Address): Promise<TLSSocket> {
  return connect({ port, host, ca: await ca('ours') });
}

/** Fingerprint of the certificate that a new connection is shown. */
async function served(address: Address): Promise<string> {
  const socket = await secured(await open(address));
  const shown = fingerprint(socket);
  socket.destroy();
  return shown;
}

function secured(socket: TLSSocket): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

function fingerprint(socket: TLSSocket): string {
  return (socket.getPeerCertificate(true) as DetailedPeerCertificate).fingerprint256;
}
