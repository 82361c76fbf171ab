import type { Reply, Session } from '../../../src/client/client.ts';

export interface TimedTurn {
  /** From sending to the first text. */
  readonly firstTextMs: number;
  readonly reply: Reply;
}

export async function timedTurn(session: Session, message: string): Promise<TimedTurn> {
  const sentMs = performance.now();
  let firstTextMs = Number.NaN;
  const stream = session.stream(message);
  for await (const _ of stream) if (Number.isNaN(firstTextMs)) firstTextMs = performance.now() - sentMs;
  return { firstTextMs, reply: await stream.reply };
}
