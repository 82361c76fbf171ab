// A member of the cluster whose machine is in somebody else's hands: it has a certificate and is let in, and tries with it, over
// supervised servers with mutual TLS, to write in another's name, to fill the directory with nodes that do not exist, to be taken for
// another, and to use subjects and streams that are not its own. It is a store of the node's own, then a bare client of NATS.
import type { NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { announceSubject, backfillSubject, beaconSubject, recordSubject } from '../../src/context-store/nats/names.ts';
import { encodePage, encodeRecords } from '../../src/context-store/replication/peers/log-answers.ts';
import {
  encodeMessage,
  type HelloReply,
  type NodeAnnouncement,
  parseMessage,
} from '../../src/context-store/replication/peers/peer-protocol.ts';
import type { ClusterName, NodeId } from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import { sealSigned } from '../../src/domain/record/record-signature.ts';
import { RECORD_FORMAT_VERSION } from '../../src/domain/record/record-version.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { connectAs } from '../../tools/supervised-nats.ts';
import { KEYGROUP, sessionKey, turnRecord } from '../../tools/turn-records.ts';
import { eventually } from '../support/sharing-store-node.ts';
import { startTlsCluster, type TlsCluster, type TlsNode } from '../support/tls-nodes.ts';

describe.each(await natsPrograms())('$name', ({ path: program }) => {
  let cluster: TlsCluster;
  const clients: NatsConnection[] = [];
  beforeEach(async () => {
    cluster = await startTlsCluster(program, ['e1', 'e2', 'm']);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close();
    await cluster.end();
  });

  /** The hostile member, as a client of that node's server. */
  async function clientAt(node: TlsNode): Promise<NatsConnection> {
    const nats = await connectAs({ url: node.server.url, nodeId: 'm', tls: cluster.tls('m') });
    clients.push(nats);
    return nats;
  }

  test('what it makes up in the name of a node that is gone is refused and counted; what that node wrote goes on', async () => {
    const e1 = await cluster.open('e1');
    const m = await cluster.open('m', { peers: [e1] });
    const e2 = await cluster.open('e2', { peers: [e1] });
    await e2.writeSession('true');
    await e1.eventuallyHasSession('true');
    await m.eventuallyConnected(e1, e2);
    await m.store.close();
    const { incarnation } = e2.store;
    await e2.stop();
    const turn = (name: string) => ({
      ...turnRecord({ key: sessionKey(name), writtenAtMs: Date.now() }),
      origin: e2.id,
      incarnation,
    });
    const [theirs, own] = [e2.signing, m.signing] as [NonNullable<TlsNode['signing']>, NonNullable<TlsNode['signing']>];
    const forged = [sealRecord(turn('unsigned')), sealSigned(turn('forged'), { ...own, keyId: theirs.keyId })];
    const log = { origin: e2.id, incarnation, keygroup: KEYGROUP };
    await impersonate(m, { node: announcementOf(m), logs: [{ log, last: 3 }], members: [] }, [undefined, ...forged]);
    await eventually(() => expect(e1.peer(m).refusedRecords).toMatchObject({ unsigned: 1, bad_signature: 1 }));
    for (const name of ['forged', 'unsigned']) expect(await e1.store.read(sessionKey(name))).toBeUndefined();
    expect((await e1.store.read(sessionKey('true')))?.records).toHaveLength(1);
  });

  test('a node that was never there gets records of one that is gone, signed as they were, from whoever has them', async () => {
    const e1 = await cluster.open('e1', { requiresSignatures: true });
    const e2 = await cluster.open('e2', { peers: [e1] });
    const written = await e2.writeSession('s1');
    await e1.eventuallyHasSession('s1');
    await e2.stop();
    const m = await cluster.open('m', { peers: [e1], requiresSignatures: true });
    await m.eventuallyHasSession('s1');
    expect((await m.store.read(sessionKey('s1')))?.records.map(({ hash }) => hash)).toEqual([written.hash]);
  });

  test('nodes that it makes up are in nobody’s directory', async () => {
    const e1 = await cluster.open('e1', { requiresSignatures: true });
    const m = await cluster.open('m', { peers: [e1] });
    await m.eventuallyConnected(e1);
    await e1.eventuallyConnected(m);
    const there = await clientAt(e1);
    const ghost = (id: string): NodeAnnouncement => ({
      ...announcementOf(m),
      nodeId: id as NodeId,
      natsUrl: m.server.url,
      signer: m.signing?.statement as string,
    });
    // As greetings of their own, and as what it has heard of.
    const greeting = encodeMessage({ kind: 'hello', node: ghost('ghost-1'), cursors: [] });
    const answer = await there.request(backfillSubject(e1.id), greeting, { timeout: 20_000 });
    expect(parseMessage('helloReply', answer.data)).toMatchObject({ refused: 'unproved', members: [] });
    const here = await clientAt(m);
    here.publish(announceSubject(m.id), encodeMessage({ kind: 'member', ...memberOf(ghost('ghost-2')) }));
    await eventually(() =>
      expect(e1.store.sharing.status().refusedNodes).toEqual({ 'ghost-1': 'unproved', 'ghost-2': 'unproved' }),
    );
    expect(e1.store.sharing.status().peers.map(({ nodeId }) => nodeId)).toEqual([m.id]);
  });

  test('a node is not refused because the one that has told of it says nothing more', async () => {
    const e1 = await cluster.open('e1', { requiresSignatures: true });
    const m = await cluster.open('m', { peers: [e1] });
    await m.eventuallyConnected(e1);
    await e1.eventuallyConnected(m);
    const e2 = await cluster.open('e2');
    await m.store.close();
    const nats = await clientAt(m);
    let asked = 0;
    let refusedMeanwhile: unknown;
    nats.subscribe(backfillSubject(m.id), {
      callback: (_, message) => {
        if (parseMessage('request', message.data)?.kind !== 'signers' || ++asked === 1) return;
        refusedMeanwhile = e1.store.sharing.status().refusedNodes;
        message.respond(encodeMessage({ statements: [e2.signing?.statement as string] }));
      },
    });
    const news = { kind: 'member', ...memberOf({ ...announcementOf(e2), natsUrl: e2.server.url }) } as const;
    // Told of again, as it is at each greeting; until the first question is given up no other is asked.
    await eventually(() => {
      nats.publish(announceSubject(m.id), encodeMessage(news));
      expect(e1.store.sharing.status().peers.map(({ nodeId }) => nodeId)).toContain(e2.id);
    });
    expect(refusedMeanwhile).toEqual({});
  });

  test('its server is not taken for another node’s, though it says so and the host is right', async () => {
    const m = await cluster.open('m');
    const e1 = await cluster.open('e1', {
      peers: [{ id: 'e2' as NodeId, server: { url: m.server.url } } as unknown as TlsNode],
    });
    await eventually(() => {
      const [e2] = e1.store.sharing.status().peers;
      expect(e2).toMatchObject({ state: 'unreachable', reason: expect.stringContaining("is m's, not e2's") });
    });
  });

  test('it may write to nothing of another node’s, and read nothing but by its own consumers', async () => {
    const e1 = await cluster.open('e1');
    const m = await cluster.open('m', { peers: [e1] });
    await m.eventuallyConnected(e1);
    await e1.writeSession('s1');
    await m.eventuallyHasSession('s1');
    const nats = await clientAt(e1);
    const refused: string[] = [];
    void (async () => {
      for await (const status of nats.status()) if (status.type === 'error') refused.push(status.error.message);
    })();
    const record = sealRecord({
      ...turnRecord({ key: sessionKey('w') }),
      origin: e1.id,
      incarnation: e1.store.incarnation,
    });
    const subject = recordSubject({ keygroup: KEYGROUP, nodeId: e1.id, originSequence: 2 });
    const [prefix] = subject.split('.');
    const stream = `${prefix}_${e1.id}_${e1.store.incarnation}`;
    const forbidden = [
      subject,
      announceSubject(e1.id),
      beaconSubject(e1.id),
      ...['STREAM.CREATE', 'STREAM.DELETE', 'STREAM.PURGE', 'STREAM.MSG.GET', 'STREAM.MSG.DELETE', 'DIRECT.GET'].map(
        (request) => `$JS.API.${request}.${stream}`,
      ),
      `$JS.API.CONSUMER.CREATE.${stream}.e2`,
      `$JS.API.CONSUMER.DELETE.${stream}.e2`,
    ];
    for (const each of forbidden) nats.publish(each, record.bytes);
    for (const each of ['>', '_e2.>', subject]) nats.subscribe(each, { callback: () => {} });
    await eventually(() => expect(refused).toHaveLength(forbidden.length + 3));
    expect(await m.store.read(sessionKey('w'))).toBeUndefined();
  });

  /** From now on whoever asks the member is told this, and handed these records by their sequences. */
  async function impersonate(
    { id, server, store }: TlsNode,
    reply: HelloReply,
    records: readonly (SealedRecord | undefined)[],
  ): Promise<void> {
    const nats = await connectAs({ url: server.url, nodeId: id, tls: cluster.tls(id) });
    clients.push(nats);
    const numbered = records.flatMap((sealed, index) =>
      sealed === undefined ? [] : [{ sequence: index + 1, ...sealed }],
    );
    nats.subscribe(backfillSubject(id), {
      callback: (_, message) => {
        const request = parseMessage('request', message.data);
        if (request?.kind === 'hello' || request?.kind === 'who') message.respond(encodeMessage(reply));
        if (request?.kind === 'signers') message.respond(encodeMessage({ statements: [] }));
        if (request?.kind === 'list') {
          const entries = numbered.filter(({ sequence }) => sequence > request.after);
          message.respond(encodePage({ entries, through: Math.max(request.after, records.length) }));
        }
        if (request?.kind === 'fetch') {
          const asked = numbered.filter(({ sequence }) => request.sequences.includes(sequence));
          message.respond(encodeRecords({ covered: request.sequences.length, records: asked }));
        }
      },
    });
    const { instance } = reply.node;
    const { incarnation } = store;
    nats.publish(announceSubject(id), encodeMessage({ kind: 'stream', keygroup: KEYGROUP, incarnation, instance }));
  }
});

function announcementOf({ id, store, signing }: TlsNode): NodeAnnouncement {
  return {
    cluster: 'blue' as ClusterName,
    nodeId: id,
    incarnation: store.incarnation,
    instance: 'another start',
    recordVersion: RECORD_FORMAT_VERSION,
    keygroups: [KEYGROUP],
    ...(signing !== undefined && { signer: signing.statement }),
  };
}

function memberOf({ nodeId, natsUrl }: NodeAnnouncement) {
  return { nodeId, ...(natsUrl !== undefined && { natsUrl }) };
}
