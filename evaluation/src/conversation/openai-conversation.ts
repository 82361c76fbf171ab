import { DiscedgeClientError } from 'discedge/internal/client/errors';
import OpenAI, { APIError } from 'openai';
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions';
import type { Answered, Conversation, ConversationOptions, Outgoing } from './conversation.ts';

/** An API of OpenAI's by which a client has its conversation. */
export type OpenAiApi = 'responses' | 'chat';

/** A node with one model takes any name. */
const MODEL = 'any';

/** OpenAI's own client, which knows nothing of nodes or turns, talking to one node after the other. */
export function openAiConversation(api: OpenAiApi, options: ConversationOptions): Conversation {
  return api === 'chat' ? new ChatConversation(options) : new ResponsesConversation(options);
}

/** The client sends its message and the id of the response before it. */
class ResponsesConversation implements Conversation {
  readonly #options: ConversationOptions;
  #previous: string | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  send(outgoing: Outgoing): Promise<Answered> {
    return asked(this.#options, outgoing, async (openai) => {
      const { userId: user, system, temperature, maxTokens, stream } = this.#options;
      const body = {
        ...{ model: MODEL, input: outgoing.message, user, temperature, max_output_tokens: maxTokens },
        ...(system !== undefined && { instructions: system }),
        ...(this.#previous !== undefined && { previous_response_id: this.#previous }),
      };
      const response = stream
        ? await openai.responses
            .stream(body, { signal: outgoing.signal })
            .once('response.output_text.delta', outgoing.onFirstText)
            .finalResponse()
        : await openai.responses.create(body, { signal: outgoing.signal });
      this.#previous = response.id;
      const { usage, output_text: text } = response;
      return { text, wire: told(usage?.input_tokens, usage?.output_tokens, usage?.input_tokens_details.cached_tokens) };
    });
  }
}

/** The client keeps the history and sends all of it with every turn. */
class ChatConversation implements Conversation {
  readonly #options: ConversationOptions;
  readonly #history: ChatCompletionMessageParam[] = [];

  constructor(options: ConversationOptions) {
    this.#options = options;
    if (options.system !== undefined) this.#history.push({ role: 'system', content: options.system });
  }

  send(outgoing: Outgoing): Promise<Answered> {
    return asked(this.#options, outgoing, async (openai) => {
      const { userId: user, temperature, maxTokens, seed, stream } = this.#options;
      const message: ChatCompletionMessageParam = { role: 'user', content: outgoing.message };
      const messages = [...this.#history, message];
      const body = { model: MODEL, messages, user, temperature, seed, max_tokens: maxTokens };
      const options = { signal: outgoing.signal };
      const completion = stream
        ? await openai.chat.completions
            .stream({ ...body, stream_options: { include_usage: true } }, options)
            .once('content', outgoing.onFirstText)
            .finalChatCompletion()
        : await openai.chat.completions.create(body, options);
      const text = completion.choices[0]?.message.content ?? '';
      this.#history.push(message, { role: 'assistant', content: text });
      const { usage } = completion;
      const cached = usage?.prompt_tokens_details?.cached_tokens;
      return { text, wire: told(usage?.prompt_tokens, usage?.completion_tokens, cached) };
    });
  }
}

/** Throws DiscedgeClientError, or the signal's reason. */
async function asked(
  { fetch, clientRetries }: ConversationOptions,
  { url, message, signal }: Outgoing,
  ask: (openai: OpenAI) => Promise<Pick<Answered, 'text' | 'wire'>>,
): Promise<Answered> {
  let attempts = 0;
  const counted: typeof fetch = (input, init) => {
    attempts++;
    return fetch(input, init);
  };
  const openai = new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: 'any',
    maxRetries: clientRetries,
    fetch: counted as typeof globalThis.fetch,
  });
  try {
    const answered = await ask(openai);
    return { ...answered, promptChars: message.length, clientRetries: attempts - 1 };
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (!(error instanceof APIError)) throw error;
    const code = error.code ?? (error.status === undefined ? 'node_unreachable' : `http_${error.status}`);
    throw new DiscedgeClientError(error.message, { code, status: error.status, node: url, cause: error });
  }
}

/** What OpenAI's answers say of a turn, in llama.cpp's words. */
function told(prompt: number | undefined, reply: number | undefined, cached: number | undefined): Answered['wire'] {
  const evaluated = prompt === undefined || cached === undefined ? undefined : prompt - cached;
  return { tokens_evaluated: prompt, tokens_predicted: reply, timings: { cache_n: cached, prompt_n: evaluated } };
}
