// A member of the cluster whose certificate lists keygroups, with its machine in somebody else's hands: it reads what it may, and
// tries to read another keygroup's records by streams, by lists, fetches, sessions and questions about turns, under another name
// and under wider rights, at a node that it reaches itself and, behind a hub, at all others. Supervised servers with mutual TLS.
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { asksAt, backfillSubject, recordSubjects, streamName } from '../../src/context-store/nats/names.ts';
import { findNatsServer } from '../../src/context-store/nats/server/nats-server-program.ts';
import type { LeafLink } from '../../src/context-store/nats/server/server-config.ts';
import {
  encodeMessage,
  type HelloReply,
  type PeerRequest,
  parseMessage,
} from '../../src/context-store/replication/peers/peer-protocol.ts';
import type { ClusterName, KeygroupId, NodeId } from '../../src/domain/identifiers.ts';
import type { AnswerId } from '../../src/domain/record/answer-id.ts';
import { RECORD_FORMAT_VERSION } from '../../src/domain/record/record-version.ts';
import { freePort } from '../../tools/free-port.ts';
import { natsPrograms } from '../../tools/real-servers/nats-programs.ts';
import { connectAs } from '../../tools/supervised-nats.ts';
import { KEYGROUP as SECRET } from '../../tools/turn-records.ts';
import { eventually } from '../support/sharing-store-node.ts';
import { startTlsCluster, type TlsCluster, type TlsNode } from '../support/tls-nodes.ts';

const LISTED = 'ffeeddccbbaa9988' as KeygroupId;
const BOTH = { keygroups: [SECRET, LISTED] };
const M = { nodeId: 'm' as NodeId, reads: [LISTED] };
/** A hub may be starting anew, and what is asked then is lost: all is asked again until what may be asked is answered. */
const ASKED_FOR_MS = 60_000;

describe.each(await natsPrograms())('$name', ({ path: program }) => {
  let cluster: TlsCluster;
  const clients: NatsConnection[] = [];
  beforeEach(async () => {
    cluster = await startTlsCluster(program, ['hub', 'e1', 'e2'], [{ name: 'm', reads: [LISTED] }]);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close();
    await cluster.end();
  });

  async function clientAt(node: TlsNode): Promise<NatsConnection> {
    // A hub that lets somebody in is starting anew.
    const as = { url: node.server.url, nodeId: 'm', tls: cluster.tls('m') };
    const nats = await connectAs(as, { waitOnFirstConnect: true });
    clients.push(nats);
    return nats;
  }

  async function leafLink(): Promise<LeafLink> {
    const { version } = await findNatsServer(program);
    return { address: { host: '127.0.0.1', port: await freePort() }, serverVersion: version };
  }

  /** Everything that could hand it a record of the other keygroup, by whatever way leads to `target`; `api` is that node's there. */
  async function triesToRead(nats: NatsConnection, target: TlsNode, api: string): Promise<void> {
    const heard: Msg[] = [];
    // With headers it is a status, such as that nobody listens there.
    const hear = (message: Msg) => message.headers === undefined && heard.push(message);
    nats.subscribe('_m.>', { callback: (_, message) => void hear(message) });
    const asks = (subject: string, data: Uint8Array | string, name: string) =>
      nats.publish(subject, data, { reply: `_m.${name}` });
    const { incarnation } = target.store;
    const names = (keygroup: KeygroupId) => {
      const of = { keygroup, nodeId: target.id, incarnation };
      return {
        stream: streamName(of),
        subjects: recordSubjects(of),
        log: { origin: target.id, incarnation, keygroup },
      };
    };
    const [secret, listed] = [names(SECRET), names(LISTED)];
    const aboutRecords = ({ log, log: { keygroup } }: typeof secret): PeerRequest[] => {
      const session = { keygroup, userId: 'user', sessionId: 's1' };
      return [
        { kind: 'list', log, after: 0 },
        { kind: 'fetch', log, sequences: [1, 2] },
        { kind: 'session', ...session, fromTurn: 1 },
        { kind: 'turn', ...session, nodeId: M.nodeId, turn: 2, attempt: 1 },
        { kind: 'answer', ...session, answerId: '00'.repeat(8) as AnswerId, wish: 'tell' },
      ];
    };
    const consumer = (stream: string, more: object) =>
      JSON.stringify({ stream_name: stream, config: { durable_name: 'm', name: 'm', ack_policy: 'none', ...more } });
    const create = `${api}.CONSUMER.CREATE.${secret.stream}.m`;
    const wider = [
      { filter_subject: secret.subjects },
      { filter_subject: '>' },
      {},
      { filter_subjects: [secret.subjects] },
      { filter_subjects: [listed.subjects, secret.subjects] },
    ];
    const own = `${listed.subjects.split('.')[0]}.*.*`;
    const wrongSubjects = [
      backfillSubject(target.id),
      asksAt(target.id, { nodeId: M.nodeId, reads: [SECRET] }),
      asksAt(target.id, { nodeId: M.nodeId, reads: [LISTED, SECRET] }),
      asksAt(target.id, { nodeId: 'e2' as NodeId, reads: [LISTED, SECRET] }),
      `${backfillSubject(target.id)}.m`,
    ];
    const requests = aboutRecords(secret).map(encodeMessage);
    const asAnother = encodeMessage({ kind: 'report', nodeId: 'e2' as NodeId, log: listed.log, sequence: 1 });
    const askAll = (go: number) => {
      for (const more of wider) {
        asks(create, consumer(secret.stream, more), 'create');
        asks(`${api}.CONSUMER.DURABLE.CREATE.${secret.stream}.m`, consumer(secret.stream, more), 'create');
        asks(`${create}.${secret.subjects}`, consumer(secret.stream, more), 'create');
        asks(`${create}.${own}`, consumer(secret.stream, more), 'create');
        asks(`${create}.${own}`, consumer(secret.stream, { ...more, deliver_subject: '_m.pushed' }), 'create');
        asks(`${api}.CONSUMER.CREATE.${secret.stream}`, consumer(secret.stream, more), 'create');
      }
      for (const request of ['STREAM.MSG.GET', 'DIRECT.GET', 'STREAM.INFO'])
        asks(`${api}.${request}.${secret.stream}`, '{"seq":1}', 'create');
      // It may do this, unless the server finds it useless: nothing of the other keygroup's passes that filter.
      asks(`${create}.${own}`, consumer(secret.stream, { filter_subject: own }), 'own');
      asks(`${api}.CONSUMER.MSG.NEXT.${secret.stream}.m`, JSON.stringify({ batch: 10, no_wait: true }), 'next');

      for (const data of requests) {
        for (const subject of wrongSubjects) asks(subject, data, 'refused');
        asks(asksAt(target.id, M), data, 'refused');
      }
      asks(asksAt(target.id, M), asAnother, 'refused');
      // What it may ask comes after all that, and is answered.
      for (const request of aboutRecords(listed).slice(0, 3))
        asks(asksAt(target.id, M), encodeMessage(request), `answered.${go}`);
    };
    const answers: number[] = [];
    await vi.waitFor(
      () => {
        for (const go of answers.keys())
          answers[go] = heard.filter(({ subject }) => subject === `_m.answered.${go}`).length;
        if (answers.some((count) => count >= 3)) return;
        askAll(answers.push(0) - 1);
        throw new Error('not answered yet');
      },
      { timeout: ASKED_FOR_MS, interval: 250 },
    );
    expect(Math.max(...answers)).toBe(3);
    await eventually(() => expect(heard.some(({ subject }) => subject === '_m.own')).toBe(true));

    expect(heard.filter(({ subject }) => subject === '_m.refused')).toHaveLength(0);
    const made = heard.filter(({ subject }) => subject === '_m.create').map((message) => message.json<Made>());
    expect(made.filter(({ config, error }) => error === undefined && config?.filter_subject !== own)).toEqual([]);
    // A record has a reply subject, to acknowledge it.
    expect(heard.filter(({ reply }) => reply?.startsWith('$JS.ACK.'))).toHaveLength(0);
  }

  test('it shares the keygroups that its certificate lists, and reads nothing of another where it connects', async () => {
    const e1 = await cluster.open('e1', BOTH);
    await e1.writeSession('s1', SECRET);
    await e1.writeSession('s1', LISTED);
    const m = await cluster.open('m', { peers: [e1], keygroups: [LISTED] });
    await m.eventuallyHasSession('s1', LISTED);
    await m.writeSession('s2', LISTED);
    await e1.eventuallyHasSession('s2', LISTED);
    await m.eventuallyConnected(e1);
    await triesToRead(await clientAt(e1), e1, '$JS.API');
  });

  test('nor of anybody through a hub', async () => {
    const link = await leafLink();
    const hub = await cluster.open('hub', { part: { link }, ...BOTH });
    const e2 = await cluster.open('e2', { part: { link, hub: hub.id }, ...BOTH });
    await e2.writeSession('s1', SECRET);
    await e2.writeSession('s1', LISTED);
    await hub.eventuallyHasSession('s1', SECRET);
    const m = await cluster.open('m', { part: { link, hub: hub.id }, keygroups: [LISTED] });
    await m.eventuallyHasSession('s1', LISTED);
    await m.writeSession('s2', LISTED);
    await e2.eventuallyHasSession('s2', LISTED);
    await m.eventuallyConnected(hub, e2);
    const atItsOwn = await clientAt(m);
    await triesToRead(atItsOwn, e2, `$JS.${e2.id}.API`);
    await triesToRead(await clientAt(hub), e2, `$JS.${e2.id}.API`);
  });

  test('what it says to serve beyond that is believed by nobody, and its own build does not start with it', async () => {
    const e1 = await cluster.open('e1', BOTH);
    await expect(cluster.open('m', { peers: [e1], ...BOTH })).rejects.toMatchObject({ code: 'certificate_unusable' });
    const m = await cluster.open('m', { peers: [e1], keygroups: [LISTED] });
    await m.eventuallyConnected(e1);
    const nats = await clientAt(e1);
    const greet = async (keygroups: KeygroupId[]): Promise<HelloReply | undefined> => {
      const node = {
        cluster: 'blue' as ClusterName,
        nodeId: M.nodeId,
        incarnation: m.store.incarnation,
        instance: 'i',
        recordVersion: RECORD_FORMAT_VERSION,
        keygroups,
      };
      const data = encodeMessage({ kind: 'hello', node, cursors: [] });
      return parseMessage('helloReply', (await nats.request(asksAt(e1.id, M), data, { timeout: 20_000 })).data);
    };
    expect(await greet([SECRET, LISTED])).toMatchObject({ refused: 'keygroup_not_listed', logs: [], members: [] });
    await eventually(() => expect(e1.store.sharing.status().refusedNodes).toEqual({ m: 'keygroup_not_listed' }));
  });
});

interface Made {
  readonly config?: { readonly filter_subject?: string };
  readonly error?: object;
}
