// Tries to get more from a node's nats-server than its configuration is meant to give: other certificates, other
// subjects, other nodes' consumers, a name that ends its string early; and to lose a connection by a reload.
// Real servers, current and old; certificates by the command line.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { type ConsumerConfig, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { issueNode, readAuthority } from '../../src/certificates/issue.ts';
import type { NatsServerProcess } from '../../src/context-store/nats/server/nats-server-process.ts';
import { natsServerConfig, quoted } from '../../src/context-store/nats/server/server-config.ts';
import { parseNodeId } from '../../src/domain/identifiers.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { certs, connectAs, makeCertificates, supervise, tlsOf } from '../../tools/supervised-nats.ts';

const nodeIds = ['e1', 'e2', 'e3', 'e9'] as const;
type NodeName = (typeof nodeIds)[number];
const certificates = temporaryFolder();
const [ours, theirs] = [join(certificates.path, 'ours'), join(certificates.path, 'theirs')];

beforeAll(async () => {
  await makeCertificates(ours, 'blue', nodeIds);
  await makeCertificates(theirs, 'blue', ['e2']);
});
afterAll(() => certificates.remove());

describe.each(await natsPrograms())('with $name', ({ path: program }) => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: NatsServerProcess;
  let connections: NatsConnection[];

  const config = (storeDir: string, peers: readonly NodeName[], excluded: readonly NodeName[] = []) =>
    natsServerConfig({
      nodeId: parseNodeId('e1'),
      listen: { host: '0.0.0.0', port: 0 },
      storeDir,
      maxFileBytes: 100_000_000,
      tls: tlsOf(ours, 'blue', 'e1'),
      peers: peers.map(parseNodeId),
      excluded: excluded.map(parseNodeId),
    });
  const withPeers = (peers: readonly NodeName[], excluded?: readonly NodeName[]) =>
    config(join(folder.path, 'jetstream'), peers, excluded);

  async function as(nodeId: NodeName, options: ConnectionOptions = {}): Promise<NatsConnection> {
    const connection = await connectAs({ url: server.url, tls: tlsOf(ours, 'blue', nodeId), nodeId }, options);
    connections.push(connection);
    return connection;
  }

  beforeEach(async () => {
    folder = temporaryFolder();
    connections = [];
    server = await supervise({ program, folder: folder.path, config: (storeDir) => config(storeDir, ['e2']) });
  });
  afterEach(async () => {
    for (const connection of connections) await connection.close();
    await server.stop();
    folder.remove();
  });

  describe('a peer', () => {
    let own: NatsConnection;
    let peer: NatsConnection;

    beforeEach(async () => {
      own = await as('e1');
      const manager = await jetstreamManager(own);
      await manager.streams.add({ name: 'a_e1_1', subjects: ['a.e1.*'] });
      await jetstream(own).publish('a.e1.1', 'record');
      peer = await as('e2');
    });

    const consumer = (name: string): Partial<ConsumerConfig> => ({ durable_name: name, ack_policy: 'none' });

    it('finds streams, reads them with a consumer of its own, and deletes that', async () => {
      const manager = await jetstreamManager(peer, { checkAPI: false });
      expect(await manager.streams.find('a.e1.*')).toBe('a_e1_1');
      await manager.consumers.add('a_e1_1', consumer('e2'));
      const message = await peer.request('$JS.API.CONSUMER.MSG.NEXT.a_e1_1.e2', JSON.stringify({ batch: 1 }), {
        timeout: 5_000,
        // It comes under its own subject, by which a shared inbox would not know it.
        noMux: true,
      });
      expect(message.string()).toBe('record');
      expect(message.subject).toBe('a.e1.1');
      expect(await manager.consumers.delete('a_e1_1', 'e2')).toBe(true);
    });

    it('hears announcements and asks for back-fill', async () => {
      own.subscribe('bf.e1', { callback: (_, message) => void message.respond('filled') });
      const announced = firstMessage(peer, 'ann.e1');
      await peer.flush();
      own.publish('ann.e1', 'ready');
      expect(await announced).toBe('ready');
      expect((await peer.request('bf.e1')).string()).toBe('filled');
    });

    it('can do nothing else', async () => {
      const before = await (await jetstreamManager(own)).streams.info('a_e1_1');
      for (const subject of [
        'a.e1.2',
        'a.e2.1',
        'ann.e1',
        'bf.e2',
        '_e1.x',
        '_e3.x',
        '$JS.API.INFO',
        '$JS.API.STREAM.CREATE.b',
        '$JS.API.STREAM.DELETE.a_e1_1',
        '$JS.API.STREAM.PURGE.a_e1_1',
        '$JS.API.STREAM.MSG.DELETE.a_e1_1',
        '$JS.API.CONSUMER.CREATE.a_e1_1',
        '$JS.API.CONSUMER.CREATE.a_e1_1.e3',
        '$JS.API.CONSUMER.DELETE.a_e1_1.e3',
        '$JS.API.CONSUMER.MSG.NEXT.a_e1_1.e3',
        '$SYS.REQ.SERVER.PING',
      ]) {
        expect(await refusalOf(peer, () => peer.publish(subject, '{}')), subject).toMatch(/permissions violation/i);
      }
      for (const subject of ['>', 'a.>', 'a.e1.*', '_e1.>', '_e3.>', '_INBOX.>', 'bf.*', 'ann.*', '$JS.>']) {
        expect(await refusalOf(peer, () => peer.subscribe(subject)), subject).toMatch(/permissions violation/i);
      }
      expect((await (await jetstreamManager(own)).streams.info('a_e1_1')).state).toEqual(before.state);
    });
  });

  /** Whether all that this connection may do is to knock. */
  async function expectGuest(guest: NatsConnection, mayKnock = true): Promise<void> {
    const knocked = await refusalOf(guest, () => guest.publish('kn.e1', 'let me in'));
    if (mayKnock) expect(knocked).toBe('nothing');
    else expect(knocked).toMatch(/permissions violation/i);
    for (const subject of ['bf.e1', 'ann.e1', 'kn.e2', 'a.e1.2', '_e1.x', '$JS.API.STREAM.NAMES'])
      expect(await refusalOf(guest, () => guest.publish(subject, '{}')), subject).toMatch(/permissions violation/i);
    for (const subject of ['>', '_e9.>', '_e3.>', 'kn.e1', 'ann.e1', '_.>'])
      expect(await refusalOf(guest, () => guest.subscribe(subject)), subject).toMatch(/permissions violation/i);
  }

  it('hears the knock of a node that it was not told of, which may do nothing else', async () => {
    const heard = firstMessage(await as('e1'), 'kn.e1');
    await expectGuest(await as('e9'));
    expect(await heard).toBe('let me in');
  });

  it('does not even hear a node that is shut out', async () => {
    await server.reload(withPeers(['e2', 'e9'], ['e9']));
    await expectGuest(await as('e9'), false);
  });

  it('refuses a certificate that has expired', async () => {
    const [certificate, key] = ['ca.crt', 'ca.key'].map((file) => readFileSync(join(ours, file), 'utf8'));
    const authority = readAuthority({ certificate: certificate as string, key: key as string });
    const request = { authority, nodeId: parseNodeId('e2'), hosts: ['localhost'], days: 1 };
    const expired = await issueNode(request, Date.now() - 2 * 86_400_000);
    const tls = { ca: authority.certificate, cert: expired.certificate, key: expired.key };
    await expect(connectAs({ url: server.url, nodeId: 'e2' }, { ...NO_RETRY, tls })).rejects.toThrow();
    const fresh = await issueNode(request, Date.now());
    const good = { ca: authority.certificate, cert: fresh.certificate, key: fresh.key };
    connections.push(await connectAs({ url: server.url, nodeId: 'e2' }, { ...NO_RETRY, tls: good }));
  });

  it('refuses other authorities, and whoever shows no certificate', async () => {
    const foreign = { url: server.url, tls: { ...tlsOf(theirs, 'blue', 'e2'), caFile: join(ours, 'ca.crt') } };
    await expect(connectAs({ ...foreign, nodeId: 'e2' }, NO_RETRY)).rejects.toThrow();
    await expect(connectAs({ url: server.url, nodeId: 'e2' }, { ...NO_RETRY, tls: null })).rejects.toThrow();
    await expect(as('e2')).resolves.toBeDefined();
  });

  it('does not take a node for another because a host of its has that name', async () => {
    await certs('node', 'e9', '--dir', ours, '--host', 'e1,e2', '--force');
    await expectGuest(await as('e9'));
  });

  it('lets in a peer that joins later, and shuts out one that leaves, while the others stay connected', async () => {
    const own = await as('e1');
    const staying = await as('e2');
    const disturbed = firstStatus(staying, 'disconnect');
    await expectGuest(await as('e3'));

    await server.reload(withPeers(['e2', 'e3']));
    const joined = await as('e3');
    const heard = firstMessage(staying, 'ann.e1');
    await staying.flush();
    own.publish('ann.e1', 'still here');
    expect(await heard).toBe('still here');
    expect(await Promise.race([disturbed, 'undisturbed'])).toBe('undisturbed');

    await server.reload(withPeers(['e2'], ['e3']));
    await expectGuest(joined, false);
    expect(await Promise.race([disturbed, 'undisturbed'])).toBe('undisturbed');
    await staying.flush();
  });

  it('uses a renewed certificate after a reload, while connections stay', async () => {
    const staying = await as('e2');
    const disturbed = firstStatus(staying, 'disconnect');
    const before = await serverCertificate(server.port);
    await certs('node', 'e1', '--dir', ours, '--host', 'edge.example', '--force');
    await server.reload(withPeers(['e2']));
    expect(await serverCertificate(server.port)).not.toBe(before);
    await staying.flush();
    expect(await Promise.race([disturbed, 'undisturbed'])).toBe('undisturbed');
  });

  it('knows two authorities while one takes the place of the other', async () => {
    const both = join(folder.path, 'both.crt');
    writeFileSync(both, [ours, theirs].map((dir) => readFileSync(join(dir, 'ca.crt'), 'utf8')).join(''));
    const ownCa = JSON.stringify(join(ours, 'e1', 'ca.crt'));
    await server.reload(withPeers(['e2']).replace(ownCa, JSON.stringify(both)));
    for (const dir of [ours, theirs]) {
      const tls = { ...tlsOf(dir, 'blue', 'e2'), caFile: both };
      connections.push(await connectAs({ url: server.url, tls, nodeId: 'e2' }, NO_RETRY));
    }
  });

  it('takes records of the greatest length', async () => {
    const own = await as('e1');
    await (await jetstreamManager(own)).streams.add({ name: 'a_e1_1', subjects: ['a.e1.*'] });
    const { seq } = await jetstream(own).publish('a.e1.1', new Uint8Array(8 * 1024 * 1024), { timeout: 60_000 });
    expect(seq).toBe(1);
  });
});

describe.each(await natsPrograms())('strings in a configuration of $name', ({ path: program }) => {
  it('are read as they were written, whatever they hold', async () => {
    const odd = fc.string({
      unit: fc.oneof(
        fc.constantFrom(...'"\\\'#;{}[]()$%`/ \t\r\n=:,xun'),
        fc.string({ unit: 'grapheme', minLength: 1 }),
      ),
      minLength: 1,
    });
    const names = [...new Set(fc.sample(odd, { numRuns: 150, seed: 7 }))].filter((name) => name.trim() !== '');
    const users = names.map((name, index) => `{ user: ${quoted(name)}, password: ${quoted(`${index}`)} }`);
    const folder = temporaryFolder();
    const config = () => `listen: "127.0.0.1:-1"\nauthorization {\n users: [\n${users.join('\n')}\n]\n}\n`;
    const server = await supervise({ program, folder: folder.path, config });
    try {
      for (const [index, user] of names.entries()) {
        expect(await answerTo(server.port, { user, pass: `${index}` }), JSON.stringify(user)).toBe('PONG');
      }
      expect(await answerTo(server.port, { user: `${names[0]}?`, pass: '0' })).toMatch(/Authorization Violation/);
    } finally {
      await server.stop();
      folder.remove();
    }
  });

  it('may be odd folders', async () => {
    const folder = temporaryFolder();
    const odd = join(folder.path, 'it\'s "odd" \\ $HOME {x} #; ünï\t');
    mkdirSync(odd);
    const server = await supervise({
      program,
      folder: odd,
      config: (storeDir) =>
        natsServerConfig({
          nodeId: parseNodeId('e1'),
          listen: { host: '::1', port: 0 },
          storeDir,
          maxFileBytes: 1e8,
          peers: [],
        }),
    });
    try {
      const connection = await connectAs({ url: server.url, nodeId: 'e1' });
      await (await jetstreamManager(connection)).streams.add({ name: 's', subjects: ['s'] });
      await connection.close();
      expect(existsSync(join(odd, 'jetstream', 'jetstream', '$G', 'streams', 's'))).toBe(true);
    } finally {
      await server.stop();
      folder.remove();
    }
  });
});

const NO_RETRY: ConnectionOptions = { reconnect: false };

function firstMessage(connection: NatsConnection, subject: string): Promise<string> {
  return new Promise((resolve, reject) => {
    connection.subscribe(subject, {
      max: 1,
      callback: (error, message) => (error === null ? resolve(message.string()) : reject(error)),
    });
  });
}

async function firstStatus(connection: NatsConnection, type: string): Promise<string> {
  for await (const status of connection.status()) if (status.type === type) return type;
  return 'closed';
}

/** What the server says to what `attempt` does. */
async function refusalOf(connection: NatsConnection, attempt: () => void): Promise<string> {
  const refusal = (async () => {
    for await (const status of connection.status()) if (status.type === 'error') return status.error.message;
    return 'closed';
  })();
  attempt();
  await connection.flush();
  return Promise.race([refusal, new Promise<string>((resolve) => setImmediate(resolve, 'nothing'))]);
}

/** The server's first words to a client with these credentials that pings. */
function answerTo(port: number, credentials: { user: string; pass: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connectSocket(port, '127.0.0.1');
    socket.setEncoding('utf8').on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      if (text.includes('PONG') || text.includes('-ERR')) {
        resolve(text.includes('PONG') ? 'PONG' : text);
        socket.destroy();
      } else if (text.startsWith('INFO') && text.endsWith('\r\n') && socket.bytesWritten === 0) {
        socket.write(`CONNECT ${JSON.stringify({ ...credentials, verbose: false })}\r\nPING\r\n`);
      }
    });
  });
}

/** Fingerprint of the certificate with which a server answers a new connection. */
async function serverCertificate(port: number): Promise<string> {
  const { connect: connectTls } = await import('node:tls');
  return new Promise((resolve, reject) => {
    const plain = connectSocket(port, '127.0.0.1');
    plain.on('error', reject);
    plain.once('data', () => {
      const secure = connectTls({ socket: plain, rejectUnauthorized: false });
      secure.on('error', reject);
      secure.once('secureConnect', () => {
        resolve(secure.getPeerX509Certificate()?.fingerprint256 ?? '');
        secure.destroy();
      });
    });
  });
}
