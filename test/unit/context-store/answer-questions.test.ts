// Peers that are asked about an answer that has no record: one that hangs, one that fails, one that knows; and what a node tells
// that is longer than peers read. Tries to have whoever asks wait for the slowest, or without end.
import { expect, test } from 'vitest';
import { ANSWER_TOLD_BYTES_MAX, type AnswerQuestion } from '../../../src/context-store/answers-elsewhere.ts';
import { type AnsweringPeer, AnswerQuestions } from '../../../src/context-store/replication/peers/answer-questions.ts';
import { parseMessage } from '../../../src/context-store/replication/peers/peer-protocol.ts';
import { answerIdFrom } from '../../../src/domain/record/answer-id.ts';
import { sessionKey } from '../../../tools/turn-records.ts';
import { virtualEnvironment } from '../../../tools/virtual-environment.ts';

const question: AnswerQuestion = {
  key: sessionKey('s'),
  answerId: answerIdFrom(new Uint8Array(8)),
  wish: 'tell',
};
const hangs = () => new Promise<never>(() => {});
const knows = async () => Uint8Array.of(1);
const knowsNothing = async () => undefined;
const fails = () => Promise.reject(new Error('no'));

function asking(...answers: AnsweringPeer['answer'][]) {
  const { clock, logger, logLines, advance } = virtualEnvironment();
  const peers = answers.map((answer, at): AnsweringPeer => ({ nodeId: `e${at}`, delayMs: 10, answer }));
  const questions = new AnswerQuestions({ peers: () => peers, clock, logger });
  return { questions, advance, logLines };
}

test('the first that knows is enough, whoever hangs', async () => {
  const { questions } = asking(hangs, fails, knowsNothing, knows);
  expect(await questions.ask(question)).toEqual(Uint8Array.of(1));
});

test('where none knows it is over when all have said so, or have had their time; one that is to stop it has longer', async () => {
  expect(await asking().questions.ask(question)).toBeUndefined();
  expect(await asking(knowsNothing, fails).questions.ask(question)).toBeUndefined();
  for (const [wish, waitMs] of [
    ['tell', 1_010],
    ['stop', 4_010],
  ] as const) {
    const { questions, advance } = asking(hangs);
    let isOver = false;
    void questions.ask({ ...question, wish }).then(() => {
      isOver = true;
    });
    await advance(waitMs - 1);
    expect(isOver).toBe(false);
    await advance(1);
    expect(isOver).toBe(true);
  }
});

test('a node tells nothing before it serves, and nothing that is too long for its peers', async () => {
  const { questions } = asking();
  expect(await questions.answer(question)).toBeUndefined();
  questions.serve(async () => new Uint8Array(ANSWER_TOLD_BYTES_MAX + 1));
  await expect(questions.answer(question)).rejects.toThrow(RangeError);
});

test('a wish that is not known is no request', () => {
  const { key, answerId } = question;
  const said = { kind: 'answer', ...key, answerId };
  const parsed = (wish: string) => parseMessage('request', Buffer.from(JSON.stringify({ ...said, wish })));
  expect(parsed('forget')).toEqual({ ...said, wish: 'forget' });
  expect(parsed('store')).toBeUndefined();
  expect(
    parseMessage('request', Buffer.from(JSON.stringify({ ...said, answerId: '../x', wish: 'tell' }))),
  ).toBeUndefined();
});
