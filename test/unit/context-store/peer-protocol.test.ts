// What nodes say to each other, from mouths that cannot be trusted: cut, flipped, oversized and made-up messages must be
// told from real ones, and never throw anything but what their reader expects.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeBeacon, encodeBeacon } from '../../../src/context-store/nats/peers/beacon.ts';
import { describedNode } from '../../../src/context-store/replication/peers/described-node.ts';
import {
  decodePage,
  decodeRecords,
  encodePage,
  encodeRecords,
  LIST_ENTRIES_MAX,
} from '../../../src/context-store/replication/peers/log-answers.ts';
import { encodeMessage, parseMessage } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import { decodeSessionPage, encodeSessionPage } from '../../../src/context-store/replication/peers/session-page.ts';
import { ByteWriter, MalformedBytes } from '../../../src/domain/bytes.ts';
import type { ClusterName, ContextId, Incarnation, KeygroupId, NodeId } from '../../../src/domain/identifiers.ts';

const log = {
  origin: 'n1' as NodeId,
  incarnation: '00000001' as Incarnation,
  keygroup: '0011223344556677' as KeygroupId,
};

const page = fc
  .uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { maxLength: 50 })
  .map((sequences) => sequences.sort((a, b) => a - b))
  .map((sequences) => ({
    entries: sequences.map((sequence) => ({ sequence, hash: sequence.toString(16).padStart(32, '0') as ContextId })),
    through: (sequences.at(-1) ?? 0) + 5,
  }));

test('lists and records come out as they went in', () => {
  fc.assert(
    fc.property(page, (one) => {
      expect(decodePage(encodePage(one))).toEqual(one);
    }),
  );
  fc.assert(
    fc.property(page, fc.boolean(), ({ entries }, more) => {
      const placed = entries.map((entry, i) => ({
        ...entry,
        log: i % 2 === 0 ? log : { ...log, origin: 'n2' as NodeId },
        turn: i,
      }));
      const { keygroup } = log;
      expect(decodeSessionPage(encodeSessionPage({ entries: placed, more }), keygroup)).toEqual({
        entries: placed,
        more,
      });
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (all) => {
      const records = all.map((bytes, i) => ({ sequence: i * 3 + 1, bytes }));
      const { covered, records: read } = decodeRecords(encodeRecords({ covered: records.length + 2, records }));
      expect(covered).toBe(records.length + 2);
      expect(read.map(({ sequence, bytes }) => [sequence, [...bytes]])).toEqual(
        records.map(({ sequence, bytes }) => [sequence, [...bytes]]),
      );
    }),
  );
});

test('bytes that are no list or no records are told so', () => {
  const decodeSession = (data: Uint8Array) => decodeSessionPage(data, log.keygroup);
  for (const decode of [decodePage, decodeRecords, decodeSession]) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedBytes);
        }
      }),
    );
  }
  const long = new ByteWriter();
  long.varint(0);
  long.varint(LIST_ENTRIES_MAX + 1);
  expect(() => decodePage(long.view())).toThrow(MalformedBytes);
  const beyond = encodePage({ entries: [{ sequence: 9, hash: '0'.repeat(32) as ContextId }], through: 3 });
  expect(() => decodePage(beyond)).toThrow(MalformedBytes);
});

test('messages that are not of the protocol are not taken for ones', () => {
  const list = { kind: 'list' as const, log, after: 3 };
  expect(parseMessage('request', encodeMessage(list))).toEqual(list);
  for (const odd of [
    '',
    '{',
    'null',
    '[]',
    '{"kind":"list"}',
    JSON.stringify({ ...list, after: -1 }),
    JSON.stringify({ ...list, after: 1.5 }),
    JSON.stringify({ ...list, log: { ...log, origin: 'a.b' } }),
    JSON.stringify({ ...list, log: { ...log, incarnation: '../..' } }),
    JSON.stringify({ ...list, kind: 'drop' }),
    JSON.stringify({ kind: 'fetch', log, sequences: Array(1_001).fill(1) }),
    JSON.stringify({ kind: 'hello', node: { nodeId: 'x' }, cursors: [] }),
  ]) {
    expect(parseMessage('request', Buffer.from(odd)), odd).toBeUndefined();
  }
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(parseMessage('announcement', bytes)).toBeUndefined();
    }),
  );
});

test('what a message holds beyond its form is left out', () => {
  const node = {
    cluster: 'blue',
    nodeId: 'n1',
    incarnation: '00000001',
    instance: 'one',
    recordVersion: 1,
    keygroups: [log.keygroup],
  };
  const more = { node: { nodeId: 'n1' }, known: 'x'.repeat(100_000) };
  const read = (kind: 'request' | 'helloReply' | 'announcement', message: object) =>
    parseMessage(kind, Buffer.from(JSON.stringify(message)));
  expect(read('request', { kind: 'hello', node: { ...node, ...more }, cursors: [], known: 1 })).toEqual({
    kind: 'hello',
    node,
    cursors: [],
  });
  expect(read('announcement', { kind: 'member', nodeId: 'n2', natsUrl: 'nats://127.0.0.1:1', ...more })).toEqual({
    kind: 'member',
    nodeId: 'n2',
    natsUrl: 'nats://127.0.0.1:1',
  });
  const reply = {
    node: { ...node, ...more },
    logs: [{ log: { ...log, ...more }, last: 3 }],
    members: [{ nodeId: 'n2', ...more }],
  };
  expect(read('helloReply', reply)).toEqual({ node, logs: [{ log, last: 3 }], members: [{ nodeId: 'n2' }] });
});

test('beacons come out as they went in, and nothing else is one', () => {
  const incarnation = '0badcafe' as Incarnation;
  fc.assert(
    fc.property(fc.array(fc.nat({ max: Number.MAX_SAFE_INTEGER }), { maxLength: 64 }), (published) => {
      expect(decodeBeacon(encodeBeacon({ incarnation, published }))).toEqual({ incarnation, published });
    }),
  );
  for (const text of ['', '0badcafe ', '0badcafe -1', '0badcafe A', '0badcaf 1', `0badcafe${' 1'.repeat(1_000)}`])
    expect(decodeBeacon(Buffer.from(text)), text).toBeUndefined();
});

test('a node that tells one model, as earlier builds do, serves that one', () => {
  const node = {
    ...{ cluster: 'blue' as ClusterName, nodeId: log.origin, incarnation: log.incarnation, instance: 'i' },
    ...{ recordVersion: 1, keygroups: [log.keygroup] },
  };
  expect(describedNode(node).models).toEqual([]);
  expect(describedNode({ ...node, model: 'a' }).models).toEqual(['a']);
  expect(describedNode({ ...node, model: 'a', models: ['a', 'b'] }).models).toEqual(['a', 'b']);
});
