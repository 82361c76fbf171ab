// Answers that come late, from an earlier start's questions or from whoever was not asked, must settle nothing.
import { expect, test } from 'vitest';
import { decodeEnvelope, encodeEnvelope } from '../../../../src/context-store/fred/peers/envelope.ts';
import { type Box, Mailbox } from '../../../../src/context-store/fred/peers/mailbox.ts';
import type { FredClient } from '../../../../src/context-store/fred/wire/fred-client.ts';
import type { NodeId } from '../../../../src/domain/identifiers.ts';
import { virtualEnvironment } from '../../../../tools/virtual-environment.ts';

const [e1, e2, e3] = ['e1', 'e2', 'e3'] as NodeId[] as [NodeId, NodeId, NodeId];
const data = Uint8Array.of(7);

/** A start of e1 that asks e2. */
function start(seed: number) {
  const numbers: number[] = [];
  const client = {
    async update({ value }: { value: string }) {
      numbers.push(decodeEnvelope(value)?.number ?? -1);
    },
  } as unknown as FredClient;
  const box: Box = { nodeId: e2, client, keygroup: 'box' };
  const mailbox = new Mailbox(
    { nodeId: e1, boxOf: async () => undefined, answer: async () => undefined, onAnnouncement() {} },
    virtualEnvironment({ seed }),
  );
  const answer = (from: NodeId, number: number) =>
    mailbox.heard(encodeEnvelope({ kind: 'answer', from, number, data }));
  return { mailbox, channel: mailbox.channel(box), numbers, answer };
}

test('an answer counts from whom was asked', async () => {
  const { channel, numbers, answer } = start(1);
  let isAnswered = false;
  const asked = channel.request(data, 1_000).then((got) => {
    isAnswered = true;
    return got;
  });
  const [number] = numbers as [number];
  answer(e3, number);
  await Promise.resolve();
  expect(isAnswered).toBe(false);
  answer(e2, number);
  expect([...(await asked)]).toEqual([7]);
});

test('the questions of two starts have different numbers', () => {
  const [before, after] = [start(1), start(2)];
  for (const { channel } of [before, after]) for (let i = 0; i < 3; i++) channel.request(data, 1_000).catch(() => {});
  expect(before.numbers).toHaveLength(3);
  expect(before.numbers.filter((number) => after.numbers.includes(number))).toEqual([]);
});

test('once it is closed, what waits and what is asked fails at once', async () => {
  const { mailbox, channel, numbers } = start(1);
  const asked = channel.request(data, 1_000);
  mailbox.close();
  await expect(asked).rejects.toThrow('closes');
  await expect(channel.request(data, 1_000)).rejects.toThrow('closes');
  expect(numbers).toHaveLength(1);
});
