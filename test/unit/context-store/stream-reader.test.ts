// A server sends what it was asked for as fast as the line allows. Tries to have a node that is slow to take it in ask for ever
// more, or stop asking, and sends more than was asked for. The connection is a double; what is asked is read off it.
import { headers, type Msg, type MsgCallback, type NatsConnection } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { Deliveries } from '../../../src/context-store/nats/pull/deliveries.ts';
import {
  PULL_AGAIN_MESSAGES,
  PULL_BYTES,
  PULL_MESSAGES,
  StreamReader,
} from '../../../src/context-store/nats/pull/stream-reader.ts';
import type { NodeId } from '../../../src/domain/identifiers.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

function reading() {
  const asked: number[] = [];
  let hear: MsgCallback<Msg> | undefined;
  let sent = 0;
  const nats = {
    publish: (_: string, request: string) => void asked.push(JSON.parse(request).batch),
    subscribe(_: string, { callback }: { callback: MsgCallback<Msg> }) {
      hear = callback;
      return { unsubscribe() {} };
    },
  } as unknown as NatsConnection;
  const deliveries = new Deliveries(virtualEnvironment(), new AbortController().signal);
  new StreamReader({ api: '$JS.API', stream: 's', nodeId: 'e2' as NodeId }, nats).readInto(deliveries);
  return {
    deliveries,
    asked,
    sum: () => asked.reduce((all, batch) => all + batch, 0),
    send(count: number, bytes = 1) {
      for (let i = 0; i < count; i++) {
        const reply = `$JS.ACK.s.e2.1.${++sent}.${sent}.1700000000000000000.9`;
        hear?.(null, { subject: `abcd.e1.${sent.toString(36)}`, reply, data: new Uint8Array(bytes) } as unknown as Msg);
      }
    },
    useUp(pending: number) {
      const status = headers(409, 'Message Size Exceeds MaxBytes');
      status.set('Nats-Pending-Messages', String(pending));
      hear?.(null, { subject: '_e2.x', reply: '', headers: status, data: new Uint8Array() } as unknown as Msg);
    },
    expire(pending: number | undefined) {
      const status = headers(408, 'Request Timeout');
      if (pending !== undefined) status.set('Nats-Pending-Messages', String(pending));
      hear?.(null, { subject: '_e2.x', reply: '', headers: status, data: new Uint8Array() } as unknown as Msg);
    },
  };
}

test('no more is asked for while what came is not taken in', async () => {
  const { deliveries, asked, send } = reading();
  expect(asked).toEqual([PULL_MESSAGES]);
  send(PULL_MESSAGES - 1);
  expect(await deliveries.next()).toHaveLength(PULL_MESSAGES - 1);
  send(1);
  expect(asked).toEqual([PULL_MESSAGES]);
  expect(await deliveries.next()).toHaveLength(1);
  expect(asked).toEqual([PULL_MESSAGES, PULL_MESSAGES - 1]);
});

test('all that a server has is asked for, however it comes', async () => {
  const { deliveries, sum, send, asked } = reading();
  let sent = 0;
  for (let round = 1; round <= 300; round++) {
    const count = Math.min((round * 7) % 90, sum() - sent);
    send(count);
    sent += count;
    if (count > 0) expect(await deliveries.next()).toHaveLength(count);
    expect(sum() - sent).toBeLessThanOrEqual(PULL_MESSAGES);
    expect(sum() - sent).toBeGreaterThan(0);
  }
  expect(Math.min(...asked)).toBeGreaterThanOrEqual(PULL_AGAIN_MESSAGES);
});

test.each([[PULL_MESSAGES], [undefined]])('a request that has expired with %s missing is made anew', (pending) => {
  const { asked, expire } = reading();
  expire(pending);
  expire(pending);
  expect(asked).toEqual([PULL_MESSAGES, PULL_MESSAGES, PULL_MESSAGES]);
});

test('a server that sends more than it was asked for is not listened to', async () => {
  const { deliveries, send } = reading();
  send(PULL_MESSAGES + 1);
  expect(await deliveries.next()).toHaveLength(PULL_MESSAGES);
  await expect(deliveries.next()).rejects.toThrow('more came than was asked for');
});

test('no more bytes are asked for than fit, and none while so many are not taken in', async () => {
  const { deliveries, asked, send, useUp } = reading();
  const large = PULL_BYTES / 16;
  send(16, large);
  useUp(PULL_MESSAGES - 16);
  expect(deliveries.heldBytes).toBe(PULL_BYTES);
  expect(asked).toEqual([PULL_MESSAGES]);
  expect(await deliveries.next()).toHaveLength(16);
  expect(asked).toEqual([PULL_MESSAGES]);
  const next = deliveries.next();
  expect(asked).toEqual([PULL_MESSAGES, PULL_MESSAGES]);
  send(1, large);
  expect(await next).toHaveLength(1);
});
