import type { FastifyReply, FastifyRequest } from 'fastify';
import type { PromptProgress, ReplyPiece, TurnObserver } from '../context-manager/turn/turn.ts';
import type { DiscedgeError } from '../domain/errors.ts';
import type { Environment } from '../environment/environment.ts';
import { clientGone } from './connections/client-gone.ts';
import { asDiscedgeError } from './error-reply.ts';
import { EventStream, type ServerSentEvent } from './event-stream.ts';

/** A turn as one API serves it. `Done` is what the turn resolves with, `Whole` the body of its reply. */
export interface ServedTurn<Done, Whole> {
  run(observer: TurnObserver): Promise<Done>;
  whole(done: Done, told: TurnTold): Whole;
  /** How the reply is streamed; `undefined` where its client reads it whole. */
  readonly stream: TurnStream<Done> | undefined;
}

/** The events of one reply. It is made for each request, so it may count. */
export interface TurnStream<Done> {
  /** A piece of the reply as it becomes certain; its text may be empty. */
  part(piece: ReplyPiece): readonly ServerSentEvent[];
  /** How far the prompt is, before the first piece; where the turn asks for it. */
  progress?(progress: PromptProgress): readonly ServerSentEvent[];
  /** After the last piece. */
  end(done: Done, told: TurnTold): readonly ServerSentEvent[];
  /**
   * Instead of the end, when the turn fails after the reply has begun; before that it is answered as any other error. What
   * headers would have said, whether and when a retry makes sense, is said here.
   */
  error(error: DiscedgeError): readonly ServerSentEvent[];
}

/** What is known of the request beside what it says. */
export interface TurnTold {
  /** Size of its body as it came. */
  readonly requestBytes: number;
}

/**
 * Runs a turn for whichever API, and answers its request: whole, or as server-sent events. A client that leaves is told to
 * the turn; an error is thrown, for the scope's error handler, unless part of the answer has been sent already.
 */
export async function serveTurn<Done, Whole>(
  { request, reply, environment }: { request: FastifyRequest; reply: FastifyReply; environment: Environment },
  turn: ServedTurn<Done, Whole>,
): Promise<Whole | FastifyReply> {
  const gone = clientGone(reply);
  const { account } = request;
  const told = { requestBytes: request.bodyBytes };
  const { stream } = turn;
  if (stream === undefined) return turn.whole(await turn.run({ part: () => {}, gone, account }), told);

  const events = new EventStream(reply, environment.clock);
  const send = (some: readonly ServerSentEvent[]) => {
    for (const event of some) events.send(event);
  };
  try {
    const part = (piece: ReplyPiece) => send(stream.part(piece));
    const progress = (progress: PromptProgress) => send(stream.progress?.(progress) ?? []);
    send(stream.end(await turn.run({ part, progress, gone, account }), told));
  } catch (error) {
    if (!events.begun) throw error;
    send(stream.error(asDiscedgeError(error, environment.logger, request)));
  } finally {
    events.close();
  }
  events.end();
  return reply;
}
