// A node may do everything at its own server. Tries to have it send an answer where the asking peer could not: to a subject
// of JetStream, to another node's announcements, to nobody.
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { encodeMessage } from '../../../src/context-store/nats/peers/peer-protocol.ts';
import { answerPeerRequest, type PeerRequestsParts } from '../../../src/context-store/nats/peers/peer-requests.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const parts = { describe: () => ({ nodeId: 'e1' }), clock: virtualEnvironment().clock } as unknown as PeerRequestsParts;

function answersTo(reply: string | undefined): number {
  let answers = 0;
  const message = { data: encodeMessage({ kind: 'who' }), reply, respond: () => ++answers > 0 } as unknown as Msg;
  answerPeerRequest(parts, {} as NatsConnection, message);
  return answers;
}

test('answers go to inboxes', () => {
  expect(answersTo('_e2.NUID.1')).toBe(1);
});

test.each(['$JS.API.STREAM.DELETE.abcd_e1_deadbeef', 'ann.e1', 'bf.e1', 'hb.e1', 'abcd.e1.1', '', undefined])(
  'nothing is answered to %s',
  (reply) => {
    expect(answersTo(reply)).toBe(0);
  },
);
