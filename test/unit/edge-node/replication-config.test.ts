/**
 * Tries to start a node that replicates with settings under which it could not, or that would show its conversations to
 * the network: open listeners, peers elsewhere without certificates, malformed ids and addresses.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { DiscedgeError } from '../../../src/domain/errors.ts';
import { temporaryFolder } from '../../../tools/node-process.ts';

const load = (flags: Record<string, unknown>) =>
  loadConfig({ env: {}, flags: { nodeId: 'e1', store: 'nats', ...flags } });

function problems(flags: Record<string, unknown>): string[] {
  try {
    load(flags);
  } catch (error) {
    expect(error).toBeInstanceOf(DiscedgeError);
    return (error as DiscedgeError).message.split('\n');
  }
  return [];
}

describe('what is read', () => {
  it('the nats store starts a server on loopback and needs nothing else', () => {
    expect(load({})).toMatchObject({
      store: { name: 'nats', shares: true },
      replication: {
        cluster: 'discedge',
        server: { program: 'nats-server', listen: { host: '127.0.0.1', port: 4222 }, bytesMax: 2 ** 30 },
        peers: [],
        certificates: undefined,
        location: undefined,
      },
    });
  });

  it('a store that is not shared has no replication', () => {
    expect(loadConfig({ env: {} }).replication).toBeUndefined();
  });

  it('a server that runs is used as it is', () => {
    expect(load({ store: 'nats://127.0.0.1:4333' }).replication).toMatchObject({
      server: { url: 'nats://127.0.0.1:4333' },
    });
    expect(load({ store: 'nats://[::1]:4333' }).replication).toMatchObject({ server: { url: 'nats://[::1]:4333' } });
  });

  it.each([
    'e2=127.0.0.1:4223,e3=[::1]:4224',
    ' e2=127.0.0.1:4223 , e3=[::1]:4224 ,',
    'e2=nats://127.0.0.1:4223,e3=nats://[::1]:4224',
  ])('peers: "%s"', (peers) => {
    expect(load({ peers }).replication?.peers).toEqual([
      { nodeId: 'e2', url: 'nats://127.0.0.1:4223' },
      { nodeId: 'e3', url: 'nats://[::1]:4224' },
    ]);
  });

  describe('in a file', () => {
    const folder = temporaryFolder();
    const file = join(folder.path, 'node.yaml');
    beforeAll(() => {
      writeFileSync(file, 'node-id: e1\nstore: nats\npeers:\n  - e2=127.0.0.1:4223\n  - e3=127.0.0.1:4224\n');
    });
    afterAll(() => folder.remove());

    it('peers may be a list', () => {
      expect(loadConfig({ env: {}, file }).replication?.peers.map(({ nodeId }) => nodeId)).toEqual(['e2', 'e3']);
    });
  });

  it('certificates open the way to other machines', () => {
    const { replication } = load({ certsDir: '/certs/e1', natsListen: '0.0.0.0:4222', peers: 'e2=10.0.0.2:4222' });
    expect(replication).toMatchObject({
      certificates: { certFile: '/certs/e1/node.crt', keyFile: '/certs/e1/node.key', caFile: '/certs/e1/ca.crt' },
      peers: [{ nodeId: 'e2', url: 'nats://10.0.0.2:4222' }],
    });
  });

  it('a hub takes in nodes without an address, and they name it', () => {
    expect(load({ hubListen: '127.0.0.1:7422', peers: 'e2,e3' }).replication).toMatchObject({
      server: { hubListen: { host: '127.0.0.1', port: 7422 } },
      peers: [
        { nodeId: 'e2', url: undefined },
        { nodeId: 'e3', url: undefined },
      ],
    });
    expect(load({ hub: 'e9=127.0.0.1:7422' }).replication).toHaveProperty('hub', {
      nodeId: 'e9',
      address: { host: '127.0.0.1', port: 7422 },
    });
  });

  it.each([
    ['52.5123,13.3269', { latitude: 52.5123, longitude: 13.3269 }],
    ['-33, -70.5', { latitude: -33, longitude: -70.5 }],
  ])('location %s', (location, expected) => {
    expect(load({ location }).replication?.location).toEqual(expected);
  });
});

describe('what is refused', () => {
  it.each([
    [{ store: 'floppy' }, '--store must be leveldb, memory, nats, nats://HOST:PORT or fred://HOST:PORT, not "floppy"'],
    [
      { store: 'nats://nowhere' },
      '--store must be leveldb, memory, nats, nats://HOST:PORT or fred://HOST:PORT, not "nats://nowhere"',
    ],
    [
      { store: 'nats://10.0.0.1:4222' },
      '--store (nats://10.0.0.1:4222) is another machine, which needs certs-dir; "discedge certs" makes it',
    ],
    [
      { store: 'nats://127.example.org:4222' },
      '--store (nats://127.example.org:4222) is another machine, which needs certs-dir; "discedge certs" makes it',
    ],
    [
      { natsListen: '0.0.0.0:4222' },
      '--nats-listen (0.0.0.0:4222) can be reached from other machines and needs certs-dir; "discedge certs" makes it',
    ],
    [{ natsListen: '4222' }, '--nats-listen must be HOST:PORT, such as 10.0.0.1:4222 or [::1]:4222, not "4222"'],
    [{ natsAdvertise: 'x' }, '--nats-advertise must be HOST:PORT, such as 10.0.0.1:4222 or [::1]:4222, not "x"'],
    [
      { peers: 'e2=10.0.0.2:4222' },
      '--peers names another machine, e2=10.0.0.2:4222, which needs certs-dir; "discedge certs" makes it',
    ],
    [
      { peers: '127.0.0.1:4222' },
      '--peers must be ID=HOST:PORT, such as e2=10.0.0.2:4222, not "127.0.0.1:4222"; an ID alone needs a hub between',
    ],
    [
      { peers: 'e2' },
      '--peers must be ID=HOST:PORT, such as e2=10.0.0.2:4222, not "e2"; an ID alone needs a hub between',
    ],
    [{ exclude: 'e2,e 3' }, '--exclude names "e 3", which is not a node id'],
    [{ exclude: 'e1' }, '--exclude names this node itself, e1'],
    [{ hub: 'e2' }, '--hub must be ID=HOST:PORT, such as e2=10.0.0.2:4222, not "e2"'],
    [{ hub: 'e1=127.0.0.1:7422' }, '--hub names this node itself, e1'],
    [{ hub: 'e2=127.0.0.1:7422', hubListen: '127.0.0.1:7422' }, '--hub excludes hub-listen: a hub dials no other'],
    [
      { hubListen: '0.0.0.0:7422' },
      '--hub-listen (0.0.0.0:7422) can be reached from other machines and needs certs-dir; "discedge certs" makes it',
    ],
    [{ peers: 'e 2=127.0.0.1:4222' }, '--peers names "e 2", which is not a node id'],
    [{ peers: 'e1=127.0.0.1:4222' }, '--peers names this node itself, e1'],
    [{ peers: 'e2=127.0.0.1:1,e2=127.0.0.1:2' }, '--peers names e2 twice'],
    [
      { store: 'leveldb', peers: 'e2=127.0.0.1:1' },
      '--peers needs store nats: leveldb shares its sessions with no other node',
    ],
    [
      { cluster: 'two words' },
      '--cluster is refused: cluster name must be 1 to 32 letters, digits, "-" or "_", starting with a letter or digit',
    ],
    [{ location: '91,0' }, '--location must be latitude and longitude in degrees, such as 52.5123,13.3269, not "91,0"'],
    [
      { location: 'Berlin' },
      '--location must be latitude and longitude in degrees, such as 52.5123,13.3269, not "Berlin"',
    ],
    [
      { advertise: 'http://user:secret@host' },
      '--advertise must be http://HOST:PORT or https://HOST:PORT, without a password',
    ],
  ])('%o', (flags, problem) => {
    expect(problems(flags)).toEqual([problem]);
  });
});

describe('the fred store', () => {
  const fred = { store: 'fred://127.0.0.1:9001', fredCertsDir: 'certs/e1' };

  it('takes an address and certificates', () => {
    expect(load(fred)).toMatchObject({
      store: { name: 'fred', shares: true },
      replication: {
        cluster: 'discedge',
        certificates: { certFile: join('certs/e1', 'node.crt'), keyFile: join('certs/e1', 'node.key') },
        fred: {
          node: { host: '127.0.0.1', port: 9001 },
          triggerListen: { host: '127.0.0.1', port: 0 },
          triggerAdvertised: undefined,
        },
      },
    });
  });

  it.each([
    [{ store: 'fred' }, /--store must be .*fred:\/\/HOST:PORT, not "fred"/],
    [{ store: 'fred://nowhere' }, /--store must be/],
    [{ fredCertsDir: undefined }, /--store \(fred:\/\/127\.0\.0\.1:9001\) needs fred-certs-dir/],
    [{ peers: 'e2=127.0.0.1:4222' }, /--peers is for NATS/],
    [{ fredTriggerListen: '0.0.0.0:7000' }, /--fred-trigger-listen .* give fred-trigger-advertise/],
    [{ fredTriggerListen: 'here' }, /--fred-trigger-listen must be HOST:PORT/],
    [{ fredTriggerAdvertise: '7000' }, /--fred-trigger-advertise must be HOST:PORT/],
    [{ exclude: 'e1' }, /--exclude names this node itself/],
  ])('refuses %j', (flags, problem) => {
    expect(problems({ ...fred, ...flags }).join('\n')).toMatch(problem);
  });
});
