import { DiscedgeClientError, errorOfEvent } from './errors.ts';
import { readEvents } from './event-stream.ts';
import { parseReply, type Reply } from './reply.ts';
import type { ReplyWriter } from './reply-stream.ts';
import type { Transport } from './transport.ts';

export type TurnBody = Readonly<Record<string, unknown>>;

/**
 * One attempt of a turn at one node; with a `writer`, its text as it comes. Throws DiscedgeClientError (`reply_cut` for an
 * answer without its end, `reply_malformed`), or the signal's reason.
 */
export async function sendTurn(
  transport: Transport,
  node: string,
  body: TurnBody,
  { signal, writer }: { readonly signal: AbortSignal | undefined; readonly writer: ReplyWriter | undefined },
): Promise<Reply> {
  const request = { method: 'POST', path: '/completion', signal } as const;
  if (writer === undefined)
    return requireReply(await transport.sendForJson(node, { ...request, body }), { node, body });
  const response = await transport.send(node, { ...request, body: { ...body, stream: true } });
  writer.restart();
  let text = '';
  try {
    for await (const event of readEvents(response, node)) {
      const error = errorOfEvent(event, node);
      if (error !== undefined) throw error;
      const { content, stop } = event as { content?: unknown; stop?: unknown };
      if (typeof content === 'string') {
        text += content;
        writer.write(content);
      }
      if (stop === true) return requireReply(event, { node, body, text });
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
  throw new DiscedgeClientError(`${node} ended a reply before its last event`, {
    code: 'reply_cut',
    retry: true,
    node,
  });
}

function requireReply(
  wire: unknown,
  { node, body, text }: { readonly node: string; readonly body: TurnBody; readonly text?: string },
): Reply {
  const reply = parseReply(wire, text);
  if (reply !== undefined && isAnswerTo(body, reply)) return reply;
  if (reply !== undefined) {
    throw new DiscedgeClientError(
      `${node} answered turn ${reply.turn} of session ${reply.sessionId}, which is not what was sent`,
      { code: 'reply_malformed', node },
    );
  }
  throw new DiscedgeClientError(`${node} answered with something that is not a DisCEdge reply: is it an edge node?`, {
    code: 'reply_malformed',
    node,
  });
}

/** A reply sets the turn counter, so it must be this turn's: under `available` an earlier place is a true answer too. */
function isAnswerTo({ session_id, turn, consistency }: TurnBody, reply: Reply): boolean {
  if (reply.sessionId !== session_id) return false;
  const isPlace = Number.isInteger(reply.turn) && reply.turn >= 1 && reply.turn <= Number(turn);
  return isPlace && (consistency !== 'strong' || reply.turn === turn);
}
