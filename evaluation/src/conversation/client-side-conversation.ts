import { DiscedgeClientError, errorOfEvent } from 'discedge/internal/client/errors';
import { NodeRing } from 'discedge/internal/client/nodes/node-ring';
import { BACKOFF_MS_DEFAULT, withRetries } from 'discedge/internal/client/retry';
import { Transport } from 'discedge/internal/client/transport';
import { readEvents } from 'discedge/internal/client/turn/event-stream';
import type { TextMessage } from 'discedge/internal/domain/record/turn-record';
import type { ChatPrompt } from './chat-prompt.ts';
import type { Answered, Conversation, ConversationOptions, Outgoing } from './conversation.ts';

export interface ClientSideOptions extends ConversationOptions {
  readonly chatPrompt: ChatPrompt;
}

type Wire = Readonly<Record<string, unknown>>;

/** The baseline: the client keeps the history and sends all of it with every turn, written out as one prompt. */
export class ClientSideConversation implements Conversation {
  readonly #options: ClientSideOptions;
  readonly #history: TextMessage[] = [];

  constructor(options: ClientSideOptions) {
    this.#options = options;
    if (options.system !== undefined) this.#history.push({ role: 'system', content: options.system });
  }

  async send({ message, url, onFirstText, signal }: Outgoing): Promise<Answered> {
    const {
      fetch,
      userId,
      chatPrompt,
      seed,
      temperature,
      maxTokens,
      clientRetries: retriesMax,
      stream,
    } = this.#options;
    const user: TextMessage = { role: 'user', content: message };
    const prompt = chatPrompt.write([...this.#history, user]);
    const sampling = { n_predict: maxTokens, temperature, seed };
    const body = { prompt, user_id: userId, mode: 'client-side', ...sampling, ...(stream ? { stream } : {}) };
    let clientRetries = 0;
    const policy = { retriesMax, backoffMs: BACKOFF_MS_DEFAULT, onRetry: () => clientRetries++ };
    const transport = new Transport({ fetch, headers: {}, policy });
    const { text, wire } = await withRetries(new NodeRing([url]), policy, signal, (node) => {
      const request = { method: 'POST', path: '/completion', body, signal } as const;
      return stream ? readStream(transport, node, request, onFirstText) : readWhole(transport, node, request);
    });
    this.#history.push(user, { role: 'assistant', content: text });
    return { text, wire, promptChars: prompt.length, clientRetries };
  }
}

type Request = Parameters<Transport['send']>[1];

async function readWhole(transport: Transport, node: string, request: Request): Promise<{ text: string; wire: Wire }> {
  const wire = (await transport.sendForJson(node, request)) as Wire;
  if (typeof wire?.content === 'string') return { text: wire.content, wire };
  throw new DiscedgeClientError(`${node} answered with something that is not a reply`, {
    code: 'reply_malformed',
    node,
  });
}

async function readStream(
  transport: Transport,
  node: string,
  request: Request,
  onFirstText: () => void,
): Promise<{ text: string; wire: Wire }> {
  const response = await transport.send(node, request);
  let text = '';
  for await (const event of readEvents(response, node)) {
    const error = errorOfEvent(event, node);
    if (error !== undefined) throw error;
    const wire = event as Wire;
    if (typeof wire.content === 'string' && wire.content !== '') {
      if (text === '') onFirstText();
      text += wire.content;
    }
    if (wire.stop === true) return { text, wire };
  }
  throw new DiscedgeClientError(`${node} ended a reply before its last event`, {
    code: 'reply_cut',
    retry: true,
    node,
  });
}
