import { DiscedgeClientError, errorOfEvent } from '../errors.ts';
import type { Transport } from '../transport.ts';
import { readEvents } from './event-stream.ts';
import { type Completion, parseCompletion, parseReply, type Received, type Reply } from './reply.ts';
import type { ReplyWriter } from './reply-stream.ts';
import { Silence } from './silence.ts';

export type TurnBody = Readonly<Record<string, unknown>>;

export interface Attempt {
  readonly signal: AbortSignal | undefined;
  /** Given the text as it comes. */
  readonly writer: ReplyWriter | undefined;
}

/** One attempt of a turn at one node. Throws what {@link sendPrompt} throws. */
export function sendTurn(transport: Transport, node: string, body: TurnBody, attempt: Attempt): Promise<Reply> {
  const read = (wire: unknown, received: Received) => {
    const reply = parseReply(wire, received);
    if (reply === undefined || isAnswerTo(body, reply)) return reply;
    throw malformed(node, `it answers turn ${reply.turn} of session ${reply.sessionId}, which is not what was sent`);
  };
  return send(transport, node, body, attempt, completion(read));
}

/**
 * One attempt of a prompt of which nothing is kept. Throws DiscedgeClientError (`reply_cut` for an answer without its end,
 * `reply_malformed`, `node_silent`), or the signal's reason.
 */
export function sendPrompt(transport: Transport, node: string, body: TurnBody, attempt: Attempt): Promise<Completion> {
  return send(transport, node, body, attempt, completion(parseCompletion));
}

/** How the answers of one route are read. */
export interface Reading<Answer> {
  readonly path: string;
  /** Makes something of the answer, or of the last event; `undefined` when it is none. */
  read(wire: unknown, received: Received): Answer | undefined;
  /** What an event of a stream adds to the text, and whether it is the last. */
  event(event: unknown): { readonly text?: string | undefined; readonly isLast: boolean };
}

function completion<Answer>(read: Reading<Answer>['read']): Reading<Answer> {
  return {
    ...{ path: '/completion', read },
    event(event) {
      const { content, stop } = (event ?? {}) as { content?: unknown; stop?: unknown };
      return { text: typeof content === 'string' ? content : undefined, isLast: stop === true };
    },
  };
}

/** One attempt at one node; what it throws, {@link sendPrompt} says. */
export async function send<Answer>(
  transport: Transport,
  node: string,
  body: TurnBody,
  { signal, writer }: Attempt,
  { path, read, event: readEvent }: Reading<Answer>,
): Promise<Answer> {
  const answerOf = (wire: unknown, text?: string): Answer => {
    const answer = read(wire, { url: node, text });
    if (answer !== undefined) return answer;
    throw malformed(node, 'is it an edge node?');
  };
  const silence = new Silence(node, transport.silenceMsFor({ isStream: writer !== undefined }), signal);
  const request = { method: 'POST', path, signal: silence.signal } as const;
  try {
    if (writer === undefined) return answerOf(await transport.sendForJson(node, { ...request, body }));
    const response = await transport.send(node, { ...request, body: { ...body, stream: true } });
    writer.restart();
    let text = '';
    for await (const event of readEvents(response, node, () => silence.heard())) {
      const error = errorOfEvent(event, node);
      if (error !== undefined) throw error;
      const { text: more, isLast } = readEvent(event);
      if (more !== undefined) {
        text += more;
        writer.write(more);
      }
      if (isLast) return answerOf(event, text);
    }
  } catch (error) {
    silence.signal.throwIfAborted();
    throw error;
  } finally {
    silence.end();
  }
  throw new DiscedgeClientError(`${node} ended a reply before its last event`, {
    code: 'reply_cut',
    retry: true,
    node,
  });
}

function malformed(node: string, why: string): DiscedgeClientError {
  return new DiscedgeClientError(`${node} answered with something that is not a DisCEdge reply: ${why}`, {
    code: 'reply_malformed',
    node,
  });
}

/** A reply sets the turn counter, so it must be this turn's: under `available` an earlier place is a true answer too. */
function isAnswerTo({ session_id, turn, consistency }: TurnBody, reply: Reply): boolean {
  if (reply.sessionId !== session_id || reply.contextId === '') return false;
  const isPlace = Number.isInteger(reply.turn) && reply.turn >= 1 && reply.turn <= Number(turn);
  return isPlace && (consistency !== 'strong' || reply.turn === turn);
}
