import { describedNode } from '../../../src/context-store/replication/peers/described-node.ts';
import { parseMessage } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import type { OpenTarget } from '../fuzz-target.ts';

const log = { origin: 'n1', incarnation: '00000001', keygroup: '0011223344556677' };
const attempt = { ...log, nodeId: 'n1', userId: 'u', sessionId: 's', turn: 2, parent: 'ab'.repeat(16), attempt: 1 };
const node = {
  ...{ cluster: 'c', nodeId: 'n1', incarnation: '00000001', instance: 'i', recordVersion: 3 },
  ...{ keygroups: [log.keygroup], natsUrl: 'tls://a:1', httpUrl: 'http://a', models: ['m'], latitude: 1, longitude: 2 },
};
const MESSAGES = [
  { kind: 'hello', node, members: [{ nodeId: 'n1', natsUrl: 'tls://a:1' }] },
  { kind: 'who' },
  { kind: 'list', log, after: 0 },
  { kind: 'fetch', log, sequences: [1, 2] },
  { kind: 'session', keygroup: log.keygroup, userId: 'u', sessionId: 's', fromTurn: 0 },
  { kind: 'turn', ...attempt },
  { kind: 'grant', ...attempt, isOver: true },
  { kind: 'answer', ...attempt, answerId: 'ab'.repeat(8), wish: 'view' },
  { kind: 'check', keygroup: log.keygroup },
  { kind: 'report', nodeId: 'n1', log, sequence: 1 },
  { node, timeMs: 1, logs: [{ log, last: 1 }], logsLeftOut: 0, members: [] },
  { kind: 'stream', keygroup: log.keygroup, incarnation: '00000001', instance: 'i' },
  { kind: 'member', nodeId: 'n1' },
  { kind: 'want', keygroup: log.keygroup, sequence: 1 },
];

/** What nodes say to each other in JSON. What is taken is taken again as it is: nothing unchecked is kept. */
export const open: OpenTarget = () => ({
  seeds: MESSAGES.map((message) => JSON.stringify(message)),
  isJson: true,
  check(input) {
    for (const kind of ['request', 'helloReply', 'announcement'] as const) {
      const message = parseMessage(kind, input);
      if (message === undefined) continue;
      if ('node' in message) describedNode(message.node);
      const again = parseMessage(kind, Buffer.from(JSON.stringify(message)));
      if (JSON.stringify(again) !== JSON.stringify(message)) throw new Error(`another ${kind} the second time`);
    }
  },
});
