import type { Completion, Reply, ReplyStream, Session } from '../../../src/client/client.ts';

export interface TimedReply<Answer extends Completion> {
  /** From sending to the first text. */
  readonly firstTextMs: number;
  /** From sending to the end. */
  readonly wholeMs: number;
  readonly reply: Answer;
}

export type TimedTurn = TimedReply<Reply>;

export function timedTurn(session: Session, message: string): Promise<TimedTurn> {
  return timedReply(() => session.stream(message));
}

export async function timedReply<Answer extends Completion>(
  ask: () => ReplyStream<Answer>,
): Promise<TimedReply<Answer>> {
  const sentMs = performance.now();
  let firstTextMs = Number.NaN;
  const stream = ask();
  for await (const _ of stream) if (Number.isNaN(firstTextMs)) firstTextMs = performance.now() - sentMs;
  const reply = await stream.reply;
  return { firstTextMs, wholeMs: performance.now() - sentMs, reply };
}
