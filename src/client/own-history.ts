import { DiscedgeClientError } from './errors.ts';
import { followSignal } from './follow-signal.ts';
import type { NodeRing } from './nodes/node-ring.ts';
import { withRetries } from './retry.ts';
import type { Transport } from './transport.ts';
import type { Completion, Received } from './turn/reply.ts';
import { ReplyStream, type ReplyWriter } from './turn/reply-stream.ts';
import { type Reading, send } from './turn/send-turn.ts';
import { type PromptOptions, present } from './turn/turn-request.ts';

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface OwnHistoryOptions {
  /** What was said so far, a system message first. */
  readonly messages?: readonly ChatMessage[] | undefined;
  /** URL of the node to begin with. */
  readonly node?: string | undefined;
  readonly turnOptions?: Omit<PromptOptions, 'signal'> | undefined;
}

export interface OwnHistoryParts {
  readonly transport: Transport;
  readonly ring: NodeRing;
  readonly userId: string | undefined;
  readonly model: string | undefined;
}

/**
 * A conversation whose history this client keeps (mode `client-side`): all of it is sent with every turn, and nodes keep nothing.
 * Its messages are all there is to it: give them to `client.ownHistory()` to go on later.
 */
export class OwnHistory {
  readonly #parts: OwnHistoryParts;
  readonly #options: OwnHistoryOptions;
  #messages: readonly ChatMessage[];
  #isUnderWay = false;

  constructor(parts: OwnHistoryParts, options: OwnHistoryOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#messages = [...(options.messages ?? [])];
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** URL of the node that gets the next turn. */
  get node(): string {
    return this.#parts.ring.current;
  }

  /** The next turn goes to this node. */
  moveTo(url: string): void {
    this.#parts.ring.moveTo(url);
  }

  /** Message and reply become part of the history once the reply is whole. Throws DiscedgeClientError, or the signal's reason. */
  send(text: string, options: PromptOptions = {}): Promise<Completion> {
    return this.#take(text, options, options.signal, undefined);
  }

  /** As `send`, with the text as it is written. */
  stream(text: string, options: PromptOptions = {}): ReplyStream<Completion> {
    const leaving = new AbortController();
    const unfollow = followSignal(options.signal, leaving);
    return new ReplyStream(
      (writer) => this.#take(text, options, leaving.signal, writer).finally(unfollow),
      () => leaving.abort(new DiscedgeClientError('the reply was not read to its end', { code: 'reply_abandoned' })),
    );
  }

  async #take(
    text: string,
    options: PromptOptions,
    signal: AbortSignal | undefined,
    writer: ReplyWriter | undefined,
  ): Promise<Completion> {
    if (this.#isUnderWay) {
      throw new DiscedgeClientError('the turn before is still under way', { code: 'session_in_use' });
    }
    this.#isUnderWay = true;
    try {
      const { transport, ring, userId, model } = this.#parts;
      const { sampling, maxTokens, temperature, seed, stop } = { ...this.#options.turnOptions, ...options };
      const said: ChatMessage = { role: 'user', content: text };
      const body = present({
        ...sampling,
        ...{ messages: [...this.#messages, said], store: false, model, user: userId },
        ...{ max_tokens: maxTokens, temperature, seed, stop },
        ...(writer !== undefined && { stream_options: { include_usage: true } }),
      });
      const reply = await withRetries(ring, transport.policy, signal, (node) =>
        send(transport, node, body, { signal, writer }, chatReading()),
      );
      this.#messages = [...this.#messages, said, { role: 'assistant', content: reply.text }];
      return reply;
    } finally {
      this.#isUnderWay = false;
    }
  }
}

interface Wire {
  readonly model?: unknown;
  readonly choices?: readonly {
    readonly message?: { readonly content?: unknown };
    readonly delta?: { readonly content?: unknown };
    readonly finish_reason?: unknown;
  }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  };
}

/** Of one attempt: a stream says why the reply ended before its last event, which has the usage. */
function chatReading(): Reading<Completion> {
  let finished: unknown;
  return {
    path: '/v1/chat/completions',
    read: (wire, received) => completionOf(wire, received, finished),
    event(event) {
      const { choices, usage } = (event ?? {}) as Wire;
      const [choice] = choices ?? [];
      finished = choice?.finish_reason ?? finished;
      const text = choice?.delta?.content;
      return {
        text: typeof text === 'string' ? text : undefined,
        isLast: usage !== undefined && finished !== undefined,
      };
    },
  };
}

function completionOf(wire: unknown, { url, text }: Received, finished: unknown): Completion | undefined {
  const { model, choices, usage } = (wire ?? {}) as Wire;
  if (!Array.isArray(choices)) return undefined;
  const [choice] = choices;
  const content = text ?? choice?.message?.content ?? '';
  if (typeof content !== 'string') return undefined;
  const cachedTokens = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  return {
    ...{ text: content, url, node: '', model: typeof model === 'string' ? model : '' },
    stopType: (choice?.finish_reason ?? finished) === 'length' ? 'limit' : 'eos',
    stoppingWord: '',
    usage: {
      cachedTokens,
      warmedTokens: 0,
      evaluatedTokens: Math.max(0, (usage?.prompt_tokens ?? 0) - cachedTokens),
      predictedTokens: usage?.completion_tokens ?? 0,
      ...{ promptMs: 0, predictedMs: 0 },
    },
    wire: wire as Completion['wire'],
  };
}
