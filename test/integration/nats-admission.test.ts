// A node with a certificate that no server has been told of: it must get in with one address, by itself, and do nothing
// before; one that is shut out must not. Supervised servers with mutual TLS, directly and through a hub.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findNatsServer } from '../../src/context-store/nats/server/nats-server-program.ts';
import type { LeafLink } from '../../src/context-store/nats/server/server-config.ts';
import { parseNodeId } from '../../src/domain/identifiers.ts';
import { freePort } from '../../tools/free-port.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { eventually } from '../support/sharing-store-node.ts';
import { startTlsCluster, type TlsCluster } from '../support/tls-nodes.ts';

describe.each(await natsPrograms())('$name', ({ path: program }) => {
  let cluster: TlsCluster;
  beforeEach(async () => {
    cluster = await startTlsCluster(program, ['hub', 'e1', 'e2', 'e3']);
  });
  afterEach(async () => {
    await cluster.end();
  });

  async function leafLink(): Promise<LeafLink> {
    const { version } = await findNatsServer(program);
    return { address: { host: '127.0.0.1', port: await freePort() }, serverVersion: version };
  }

  test('a new node needs the address of one, which has never heard of it', async () => {
    const e1 = await cluster.open('e1');
    await e1.writeSession('s1');
    const e2 = await cluster.open('e2', { peers: [e1] });
    await e2.eventuallyHasSession('s1');
    const e3 = await cluster.open('e3', { peers: [e1] });
    await e2.writeSession('s2');
    await e3.writeSession('s3');
    for (const node of [e1, e2, e3]) {
      for (const session of ['s1', 's2', 's3']) await node.eventuallyHasSession(session);
      await node.eventuallyConnected(...[e1, e2, e3].filter((other) => other !== node));
    }
  });

  test('a new node that can only dial out needs its hub, which has never heard of it', async () => {
    const link = await leafLink();
    const hub = await cluster.open('hub', { part: { link } });
    await hub.writeSession('s1');
    const e2 = await cluster.open('e2', { part: { link, hub: hub.id } });
    await e2.eventuallyHasSession('s1');
    const e3 = await cluster.open('e3', { part: { link, hub: hub.id } });
    await e2.writeSession('s2');
    await e3.writeSession('s3');
    const e1 = await cluster.open('e1', { peers: [hub] });
    await e1.writeSession('s4');
    for (const node of [hub, e2, e3, e1]) {
      for (const session of ['s1', 's2', 's3', 's4']) await node.eventuallyHasSession(session);
      await node.eventuallyConnected(...[hub, e2, e3, e1].filter((other) => other !== node));
    }
  });

  test('a node that is shut out stays out, though others tell of it', async () => {
    const e1 = await cluster.open('e1', { excluded: ['e3'] });
    const e2 = await cluster.open('e2', { peers: [e1] });
    const e3 = await cluster.open('e3', { peers: [e1, e2] });
    await e3.eventuallyConnected(e2);
    await e1.writeSession('s1');
    await e2.eventuallyHasSession('s1');
    await eventually(() => {
      const states = e3.store.sharing.status().peers.map(({ nodeId, state }) => [nodeId, state]);
      expect(Object.fromEntries(states)).toEqual({ e1: 'silent', e2: 'connected' });
    });
    expect(e1.store.sharing.status().peers.map(({ nodeId }) => nodeId)).toEqual([parseNodeId('e2')]);
  });
});
