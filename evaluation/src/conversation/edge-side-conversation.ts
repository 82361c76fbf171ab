import { DiscedgeClient, type Reply, type Session, type SessionState } from 'discedge/client';
import type { StoredMode } from 'discedge/internal/domain/record/turn-record';
import type { Answered, Conversation, ConversationOptions, Outgoing } from './conversation.ts';

export interface EdgeSideOptions extends ConversationOptions {
  readonly mode: StoredMode;
  readonly consistency: 'strong' | 'available' | undefined;
  readonly maxWaitMs: number | undefined;
}

/** The context is kept by the nodes; the client sends its message, the session's id and the turn's number (paper §3.4). */
export class EdgeSideConversation implements Conversation {
  readonly #options: EdgeSideOptions;
  #state: SessionState | undefined;

  constructor(options: EdgeSideOptions) {
    this.#options = options;
  }

  async send({ message, url, onFirstText, signal }: Outgoing): Promise<Answered> {
    let clientRetries = 0;
    const session = this.#sessionAt(url, () => clientRetries++);
    const reply = await (this.#options.stream
      ? readStream(session, message, { onFirstText, signal })
      : session.send(message, { signal }));
    this.#state = session.state;
    return { text: reply.text, wire: reply.wire, promptChars: message.length, clientRetries };
  }

  /** A client that knows this node alone: an experiment's turn is not to be answered by another one. */
  #sessionAt(url: string, onRetry: () => void): Session {
    const { fetch, userId, mode, system, clientRetries, seed, temperature, maxTokens, consistency, maxWaitMs } =
      this.#options;
    const client = new DiscedgeClient({ nodes: url, userId, fetch, retriesMax: clientRetries, onRetry });
    const turnOptions = { seed, temperature, maxTokens, consistency, maxWaitMs };
    const { sessionId, turn, contextId } = this.#state ?? {};
    return client.session({
      mode,
      system,
      turnOptions,
      ...(sessionId === undefined ? {} : { sessionId }),
      ...(turn === undefined ? {} : { turn }),
      contextId,
    });
  }
}

async function readStream(
  session: Session,
  message: string,
  { onFirstText, signal }: Pick<Outgoing, 'onFirstText' | 'signal'>,
): Promise<Reply> {
  const stream = session.stream(message, { signal });
  let begun = false;
  for await (const text of stream) {
    if (begun || text === '') continue;
    begun = true;
    onFirstText();
  }
  return stream.reply;
}
