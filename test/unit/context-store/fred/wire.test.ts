// Holds the contract to FReD's field numbers, byte by byte, and tries to pass the client what FReD would refuse or log, a
// server of another authority, one that does not answer and one that is gone.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Client, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { issueAuthority, issueFredNode, readAuthority } from '../../../../src/certificates/issue.ts';
import { CLIENT_METHODS, TRIGGER_METHODS } from '../../../../src/context-store/fred/wire/contract.ts';
import { FredClient } from '../../../../src/context-store/fred/wire/fred-client.ts';
import { channelSecurity, type FredTls } from '../../../../src/context-store/fred/wire/fred-tls.ts';
import { type TriggeredItem, TriggerService } from '../../../../src/context-store/fred/wire/trigger-service.ts';
import { parseClusterName, parseNodeId } from '../../../../src/domain/identifiers.ts';
import { nodeEnvironment } from '../../../../src/environment/node-environment.ts';

const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'test' });
const ITEM = { keygroup: 'kg', id: 'i1', value: 'v' };

let tls: FredTls;
let stranger: FredTls;
const opened: { close(): unknown }[] = [];

beforeAll(async () => {
  [tls, stranger] = await Promise.all([certificates('one'), certificates('other')]);
});

afterEach(async () => {
  for (const part of opened.splice(0).reverse()) await part.close();
});

it('messages have the field numbers of FReD', () => {
  const hex = (bytes: Buffer) => bytes.toString('hex');
  // keygroup=1 "kg", id=2 "i1", data=3 "v"
  expect(hex(CLIENT_METHODS.Update.requestSerialize(ITEM))).toBe('0a026b6712026931' + '1a0176');
  expect(hex(TRIGGER_METHODS.PutItemTrigger.requestSerialize(ITEM))).toBe('0a026b6712026931' + '1a0176');
  // mutable=2 true, expiry=3 300
  expect(
    hex(CLIENT_METHODS.CreateKeygroup.requestSerialize({ keygroup: 'kg', isMutable: true, expirySeconds: 300 })),
  ).toBe('0a026b67100118ac02');
  // user=1, keygroup=2, role=3
  expect(hex(CLIENT_METHODS.AddUser.requestSerialize({ user: 'u', keygroup: 'kg', role: 4 }))).toBe(
    '0a01751202' + '6b671804',
  );
  // Scan: data=1 { id=1 "i", val=2 "v", version=3 { version=1 { key=1 "n", value=2 7 } } }
  const items = Buffer.from('0a0f' + '0a0169' + '120176' + '1a07' + '0a05' + '0a016e' + '1007', 'hex');
  expect(CLIENT_METHODS.Scan.responseDeserialize(items)).toEqual({
    items: [{ id: 'i', value: 'v', version: { ticks: { n: 7 } } }],
  });
  // GetKeygroupInfo: mutable=1, replica=2 { nodeId=1, expiry=2, host=3 }
  const info = Buffer.from('08011208' + '0a0161' + '1005' + '1a0178', 'hex');
  expect(CLIENT_METHODS.GetKeygroupInfo.responseDeserialize(info)).toEqual({
    isMutable: true,
    replicas: [{ nodeId: 'a', expirySeconds: 5, host: 'x' }],
  });
});

it('a trigger is answered before it is worked on, and only for holders of a certificate', async () => {
  let told = (_: TriggeredItem) => {};
  const item = new Promise<TriggeredItem>((resolve) => {
    told = resolve;
  });
  const service = await TriggerService.start({ listen: '127.0.0.1:0', tls, onItem: told });
  opened.push(service);
  await put(service.port, tls);
  expect(await item).toEqual(ITEM);
  await expect(put(service.port, stranger)).rejects.toThrow(/UNAVAILABLE/);
});

it('what FReD would refuse, or write to its log, is not sent', async () => {
  const fred = clientOf('127.0.0.1:1');
  await expect(fred.update({ ...ITEM, id: 'not-a-name' })).rejects.toMatchObject({ kind: 'invalid' });
  await expect(fred.update({ ...ITEM, keygroup: '' })).rejects.toMatchObject({ kind: 'invalid' });
  await expect(fred.update({ ...ITEM, value: '' })).rejects.toMatchObject({ kind: 'invalid' });
  await expect(fred.update({ ...ITEM, value: 'half a \ud83d' })).rejects.toMatchObject({ kind: 'invalid' });
  await expect(fred.update({ ...ITEM, value: 'v'.repeat(4 * 1024 * 1024) })).rejects.toMatchObject({
    kind: 'too-large',
  });
});

it('each way of not being answered has a kind of its own', async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const sockets = new Set<{ destroy(): void }>();
  silent.on('connection', (socket) => sockets.add(socket));
  opened.push({ close: () => silent.close() }, { close: () => [...sockets].map((socket) => socket.destroy()) });
  const hung = clientOf(`127.0.0.1:${portOf(silent)}`);
  await expect(hung.update(ITEM, { callMs: 50 })).rejects.toMatchObject({ kind: 'late', code: 'store_unavailable' });
  const stop = new AbortController();
  const stopped = hung.update(ITEM, { signal: stop.signal });
  stop.abort(new Error('no longer wanted'));
  await expect(stopped).rejects.toThrow('no longer wanted');
  await expect(clientOf('127.0.0.1:1').read(ITEM)).rejects.toMatchObject({ kind: 'unreachable' });
  const service = await TriggerService.start({ listen: '127.0.0.1:0', tls, onItem: () => {} });
  opened.push(service);
  await expect(clientOf(`127.0.0.1:${service.port}`, stranger).read(ITEM)).rejects.toMatchObject({
    kind: 'certificate',
  });
  const closed = clientOf(`127.0.0.1:${portOf(silent)}`);
  const underWay = closed.read(ITEM);
  closed.close();
  await expect(underWay).rejects.toMatchObject({ kind: 'closed' });
  await expect(closed.read(ITEM)).rejects.toMatchObject({ kind: 'closed' });
});

function clientOf(host: string, files = tls): FredClient {
  const client = new FredClient({ host, tls: files, clock });
  opened.push(client);
  return client;
}

async function put(port: number, files: FredTls): Promise<void> {
  const host = `127.0.0.1:${port}`;
  const { credentials, options } = channelSecurity(host, files);
  const fred = new Client(host, credentials, { ...options, 'grpc.use_local_subchannel_pool': 1 });
  opened.push(fred);
  const { path, requestSerialize, responseDeserialize } = TRIGGER_METHODS.PutItemTrigger;
  await new Promise<void>((resolve, reject) => {
    const done = (error: ServiceError | null) => (error === null ? resolve() : reject(error));
    fred.makeUnaryRequest(path, requestSerialize, responseDeserialize, ITEM, done);
  });
}

function portOf(server: ReturnType<typeof createServer>): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

async function certificates(name: string): Promise<FredTls> {
  const issued = await issueAuthority({ kind: 'fred', cluster: parseClusterName(name), days: 1 }, clock.now());
  const request = { authority: readAuthority(issued), nodeId: parseNodeId('n1'), hosts: [], days: 1 };
  const { client } = await issueFredNode(request, clock.now());
  return {
    ca: Buffer.from(issued.certificate),
    certificate: Buffer.from(client.certificate),
    key: Buffer.from(client.key),
  };
}
