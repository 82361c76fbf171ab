// Tries to open a server to others by accident (no certificates, a name that looks like loopback, a peer twice or the
// node itself among its peers), to break out of a quoted string, and to confuse the names that cross the wire.
// That nats-server reads it the same way is shown in test/integration/nats-server-config.test.ts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  keygroupCode,
  originSequenceOf,
  recordSubject,
  recordSubjects,
  streamName,
} from '../../../src/context-store/nats/names.ts';
import {
  hubServerConfig,
  leafServerConfig,
  type NatsServerSettings,
  natsServerConfig,
} from '../../../src/context-store/nats/server/server-config.ts';
import { type Incarnation, type KeygroupId, parseClusterName, parseNodeId } from '../../../src/domain/identifiers.ts';

const [e1, e2, e3] = ['e1', 'e2', 'e3'].map(parseNodeId) as [never, never, never];
const tls = { certFile: '/c/node.crt', keyFile: '/c/node.key', caFile: '/c/ca.crt', cluster: parseClusterName('blue') };
const settings: NatsServerSettings = {
  nodeId: e1,
  listen: { host: '127.0.0.1', port: 4222 },
  storeDir: '/data/jetstream',
  maxFileBytes: 1e9,
  peers: [],
};
const link = { address: { host: '127.0.0.1', port: 7422 }, serverVersion: { major: 2, minor: 15 } };
const far = { host: '10.0.0.1', port: 7422 };

describe('without certificates', () => {
  it.each(['127.0.0.1', '127.8.0.1', '::1', 'localhost'])('listens at %s', (host) => {
    expect(natsServerConfig({ ...settings, listen: { host, port: 4222 } })).toContain(
      `listen: "${host === '::1' ? '[::1]' : host}:4222"`,
    );
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', '127.example.org', 'localhost.example.org', ''])('refuses %j', (host) => {
    const open = { host, port: 4222 };
    const refusal = expect.objectContaining({ code: 'config_invalid' });
    expect(() => natsServerConfig({ ...settings, listen: open })).toThrow(refusal);
    expect(() => natsServerConfig({ ...settings, listen: open, tls })).not.toThrow();
    expect(() => hubServerConfig(settings, { ...link, address: open })).toThrow(refusal);
    expect(() => leafServerConfig(settings, { ...link, address: open })).toThrow(refusal);
  });

  it('neither gives nor asks for a user', () => {
    expect(natsServerConfig({ ...settings, peers: [e2] })).not.toMatch(/authorization|user|tls/);
  });
});

describe('with certificates', () => {
  const usersOf = (config: string) => [...config.matchAll(/user: "(.*)"/g)].map(([, user]) => user);

  it('knows the node and each of its peers once', () => {
    expect(usersOf(natsServerConfig({ ...settings, tls, peers: [e2, e1, e3, e2] }))).toEqual([
      'e1@blue',
      'e2@blue',
      'e3@blue',
      '_@blue',
    ]);
    expect(usersOf(natsServerConfig({ ...settings, tls, peers: [e2, e3], excluded: [e3] }))).toEqual([
      'e1@blue',
      'e2@blue',
      'e3@blue',
      '_@blue',
    ]);
  });

  it('lets peers in through the hub only, where there is one', () => {
    const behind = { ...link, address: far };
    expect(usersOf(leafServerConfig({ ...settings, tls, peers: [e2] }, behind))).toEqual(['e1@blue']);
    expect(usersOf(hubServerConfig({ ...settings, tls, peers: [e2] }, behind))).toEqual([
      'e1@blue',
      'e2@blue',
      '_@blue',
    ]);
  });

  it('demands a certificate from whoever connects, also from the servers of other nodes', () => {
    const config = hubServerConfig({ ...settings, tls }, link);
    expect(config.match(/verify_and_map: true/g)).toHaveLength(2);
  });
});

it('does not tell servers before 2.10 not to compress: they do not know the word', () => {
  const old = { ...link, serverVersion: { major: 2, minor: 9 } };
  for (const make of [hubServerConfig, leafServerConfig]) {
    expect(make(settings, link)).toContain('compression: off');
    expect(make(settings, old)).not.toContain('compression');
  }
});

it('keeps each path in its string, whatever the path holds', () => {
  const odd = fc.string({
    unit: fc.oneof(
      fc.constantFrom('"', '\\', '\n', '}', '#', '$', ' '),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    ),
  });
  fc.assert(
    fc.property(odd, (storeDir) => {
      const plain = natsServerConfig(settings).split('\n');
      const lines = natsServerConfig({ ...settings, storeDir }).split('\n');
      expect(lines).toHaveLength(plain.length);
      const [written] = lines.filter((line, index) => line !== plain[index]);
      if (written !== undefined)
        expect(written).toMatch(/^ {2}store_dir: "([^"\\\u0000-\u001f]|\\["\\nrt]|\\x[0-9a-f]{2})*"$/);
    }),
  );
});

describe('names', () => {
  const keygroup = '0123456789abcdef' as KeygroupId;
  const nodeId = parseNodeId('Edge_1-b');

  it('give an origin sequence back, and nothing else', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (originSequence) => {
        expect(originSequenceOf(recordSubject({ keygroup, nodeId, originSequence }))).toBe(originSequence);
      }),
    );
    for (const subject of [
      '',
      'ann.e1',
      'abcd.e1',
      'abcd.e1.',
      'abcd.e1.0',
      'abcd.e1.01',
      'abcd.e1.A',
      'abcd.e1.1.2',
      'abcd.e1.zzzzzzzzzzz',
    ])
      expect(originSequenceOf(subject), subject).toBeUndefined();
  });

  it('are one token each, and short', () => {
    const stream = streamName({ keygroup, nodeId, incarnation: 'deadbeef' as Incarnation });
    expect(stream).toMatch(/^[0-9a-z]{4}_Edge_1-b_deadbeef$/);
    expect(recordSubjects({ keygroup, nodeId })).toBe(`${keygroupCode(keygroup)}.Edge_1-b.*`);
    expect(recordSubject({ keygroup, nodeId, originSequence: 46_655 })).toBe(`${keygroupCode(keygroup)}.Edge_1-b.zzz`);
    for (const digits of ['0000000000000000', 'ffffffffffffffff'])
      expect(keygroupCode(digits as KeygroupId)).toMatch(/^[0-9a-z]{4}$/);
  });

  it('of clusters hold nothing that could end a user name early', () => {
    for (const name of ['blue', 'Blue-2_x']) expect(parseClusterName(name)).toBe(name);
    for (const name of ['', 'a@b', 'a b', '-a', 'a.b', 'a'.repeat(33), undefined, 'blåu'])
      expect(() => parseClusterName(name)).toThrow(/cluster name/);
  });
});
