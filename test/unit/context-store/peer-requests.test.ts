// A node may do everything at its own server. Tries to have it send an answer where the asking peer could not: to a subject
// of JetStream, to another node's announcements, to nobody.
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { hearRequest } from '../../../src/context-store/nats/peers/heard-requests.ts';
import { encodeMessage } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import type { PeerRequestsParts } from '../../../src/context-store/replication/peers/peer-requests.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const parts = { describe: () => ({ nodeId: 'e1' }), clock: virtualEnvironment().clock } as unknown as PeerRequestsParts;

async function answersTo(reply: string | undefined): Promise<number> {
  let answers = 0;
  const message = { data: encodeMessage({ kind: 'who' }), reply, respond: () => ++answers > 0 } as unknown as Msg;
  hearRequest(parts, {} as NatsConnection, message);
  await new Promise(setImmediate);
  return answers;
}

test('answers go to inboxes', async () => {
  expect(await answersTo('_e2.NUID.1')).toBe(1);
});

test.each(['$JS.API.STREAM.DELETE.abcd_e1_deadbeef', 'ann.e1', 'bf.e1', 'hb.e1', 'abcd.e1.1', '', undefined])(
  'nothing is answered to %s',
  async (reply) => {
    expect(await answersTo(reply)).toBe(0);
  },
);
