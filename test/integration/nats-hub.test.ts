// Tries to pull records through a hub from a node that can only dial out, and to do through the hub what a direct peer
// may not do either. Three real servers: the hub, which is an edge node itself, and two nodes that dial out to it.
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { domainApi } from '../../src/context-store/nats/names.ts';
import type { NatsServerProcess } from '../../src/context-store/nats/server/nats-server-process.ts';
import { findNatsServer } from '../../src/context-store/nats/server/nats-server-program.ts';
import {
  hubServerConfig,
  type LeafLink,
  leafServerConfig,
  type NatsServerSettings,
} from '../../src/context-store/nats/server/server-config.ts';
import { parseNodeId } from '../../src/domain/identifiers.ts';
import { freePort } from '../../tools/free-port.ts';
import { temporaryFolder } from '../../tools/node-process.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { connectAs, makeCertificates, supervise, tlsOf } from '../../tools/supervised-nats.ts';

const [hubId, e2, e3] = ['hub', 'e2', 'e3'].map(parseNodeId) as [never, never, never];
const nodeIds = [hubId, e2, e3] as string[];
const certificates = temporaryFolder();

beforeAll(() => makeCertificates(certificates.path, 'blue', nodeIds));
afterAll(() => certificates.remove());

describe.each(await natsPrograms())('through a hub with $name', ({ path: program }) => {
  let folder: ReturnType<typeof temporaryFolder>;
  const servers = new Map<string, NatsServerProcess>();
  const nodes = new Map<string, NatsConnection>();
  const node = (nodeId: string) => nodes.get(nodeId) as NatsConnection;

  let link: LeafLink;
  beforeEach(async () => {
    folder = temporaryFolder();
    const { version } = await findNatsServer(program);
    link = { address: { host: '127.0.0.1', port: await freePort() }, serverVersion: version };
  });
  const startAll = async () => {
    for (const nodeId of nodeIds) await start(nodeId, nodeIds);
  };

  async function start(nodeId: string, peers: readonly string[]): Promise<void> {
    const server = await supervise({ program, folder: join(folder.path, nodeId), config: () => config(nodeId, peers) });
    servers.set(nodeId, server);
    nodes.set(nodeId, await connectAs({ url: server.url, tls: tlsOf(certificates.path, 'blue', nodeId), nodeId }));
    await (await jetstreamManager(node(nodeId))).streams.add({ name: `a_${nodeId}_1`, subjects: [`a.${nodeId}.*`] });
    await jetstream(node(nodeId)).publish(`a.${nodeId}.1`, `record of ${nodeId}`);
  }

  function config(nodeId: string, peers: readonly string[]): string {
    const settings: NatsServerSettings = {
      nodeId: parseNodeId(nodeId),
      listen: { host: '127.0.0.1', port: 0 },
      storeDir: join(folder.path, nodeId, 'jetstream'),
      maxFileBytes: 1e8,
      tls: tlsOf(certificates.path, 'blue', nodeId),
      peers: peers.map(parseNodeId),
    };
    return nodeId === hubId ? hubServerConfig(settings, link) : leafServerConfig(settings, link);
  }

  afterEach(async () => {
    for (const connection of nodes.values()) await connection.close();
    for (const server of servers.values()) await server.stop();
    nodes.clear();
    servers.clear();
    folder.remove();
  });

  /** What a pull by `reader` from `origin` brings; asks again while the link between them comes up. */
  function pulled({ reader, origin }: { reader: string; origin: string }): Promise<string> {
    const [stream, api] = [`a_${origin}_1`, domainApi(parseNodeId(origin))];
    return vi.waitFor(
      async () => {
        const manager = await jetstreamManager(node(reader), { domain: origin, checkAPI: false });
        await manager.consumers.add(stream, { durable_name: reader, ack_policy: 'none', inactive_threshold: 60e9 });
        await manager.consumers.delete(stream, reader);
        await manager.consumers.add(stream, { durable_name: reader, ack_policy: 'none', inactive_threshold: 60e9 });
        const request = JSON.stringify({ batch: 1, expires: 2e9 });
        const message = await node(reader).request(`${api}.CONSUMER.MSG.NEXT.${stream}.${reader}`, request, {
          timeout: 3_000,
          noMux: true,
        });
        return `${message.subject} ${message.string()}`;
      },
      { timeout: 8_000, interval: 50 },
    );
  }

  it('every node reads every other, and each stream stays where it is', async () => {
    await startAll();
    for (const reader of nodeIds) {
      for (const origin of nodeIds.filter((id) => id !== reader)) {
        expect(await pulled({ reader, origin })).toBe(`a.${origin}.1 record of ${origin}`);
      }
    }
    for (const nodeId of nodeIds) {
      const names = await (await jetstreamManager(node(nodeId))).streams.names().next();
      expect(names).toEqual([`a_${nodeId}_1`]);
    }
  });

  it('announcements, beacons and back-fill pass', async () => {
    await startAll();
    await pulled({ reader: e3, origin: e2 });
    node(e2).subscribe('bf.e2', { callback: (_, message) => void message.respond('filled') });
    await node(e2).flush();
    const filled = () => node(e3).request('bf.e2', '', { timeout: 1_000 });
    expect((await vi.waitFor(filled, { timeout: 20_000 })).string()).toBe('filled');

    for (const subject of ['ann.e2', 'hb.e2']) {
      const heard = new Promise<string>((resolve) =>
        node(e3).subscribe(subject, { max: 1, callback: (_, message) => resolve(message.string()) }),
      );
      await node(e3).flush();
      // Interest reaches the other side of the hub in its own time.
      const told = vi.waitFor(
        async () => {
          node(e2).publish(subject, 'here');
          expect(await Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 20))])).toBe('here');
        },
        { timeout: 20_000, interval: 20 },
      );
      await told;
    }
  });

  it('a node can do no more to another than a direct peer could', async () => {
    await startAll();
    await pulled({ reader: e3, origin: e2 });
    const stateBefore = (await (await jetstreamManager(node(e2))).streams.info('a_e2_1')).state;
    for (const request of [
      'STREAM.DELETE.a_e2_1',
      'STREAM.PURGE.a_e2_1',
      'STREAM.INFO.a_e2_1',
      'STREAM.CREATE.b_e3_1',
      'CONSUMER.CREATE.a_e2_1.hub',
      'CONSUMER.DELETE.a_e2_1.hub',
    ]) {
      const attempt = node(e3).request(`$JS.e2.API.${request}`, '{}', { timeout: 300 });
      await expect(attempt, request).rejects.toThrow();
    }
    node(e3).publish('a.e2.2', 'forged');
    node(e3).publish('hb.e2', 'forged');
    await node(e3).flush();
    expect(await pulled({ reader: e3, origin: e2 })).toBe('a.e2.1 record of e2');
    const { state } = await (await jetstreamManager(node(e2))).streams.info('a_e2_1');
    expect(state).toEqual({ ...stateBefore, consumer_count: state.consumer_count });
    expect(await (await jetstreamManager(node(e2))).streams.names().next()).toEqual(['a_e2_1']);
  });

  it('a node that joins later is let in, and reads and is read by those who were there', async () => {
    const early = [hubId, e2] as string[];
    for (const nodeId of early) await start(nodeId, early);
    await pulled({ reader: e2, origin: hubId });
    await servers.get(hubId)?.restart(config(hubId, nodeIds));
    await start(e3, nodeIds);
    expect(await pulled({ reader: e3, origin: e2 })).toBe('a.e2.1 record of e2');
    expect(await pulled({ reader: e2, origin: e3 })).toBe('a.e3.1 record of e3');
    expect(await pulled({ reader: hubId, origin: e3 })).toBe('a.e3.1 record of e3');
  });

  it('a node that leaves is shut out', async () => {
    await startAll();
    await pulled({ reader: e2, origin: e3 });
    await servers.get(hubId)?.restart(config(hubId, [hubId, e2]));
    await vi.waitFor(
      async () => {
        const attempt = node(e2).request('$JS.e3.API.STREAM.NAMES', '', { timeout: 1_000 });
        await expect(attempt).rejects.toThrow(/no responders/);
      },
      { timeout: 20_000, interval: 50 },
    );
    expect(await pulled({ reader: e2, origin: hubId })).toBe('a.hub.1 record of hub');
  });

  it('records flow again after the hub was killed', async () => {
    await startAll();
    await pulled({ reader: e3, origin: e2 });
    process.kill(servers.get(hubId)?.pid as number, 'SIGKILL');
    expect(await pulled({ reader: e3, origin: e2 })).toBe('a.e2.1 record of e2');
    expect(await pulled({ reader: hubId, origin: e2 })).toBe('a.e2.1 record of e2');
  });
});
