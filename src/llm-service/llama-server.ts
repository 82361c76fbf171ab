import { DiscedgeError } from '../domain/errors.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../domain/token-sequence.ts';
import type { Environment } from '../environment/environment.ts';
import { within } from '../waiting/within.ts';
import { ServerConnection } from './http/server-connection.ts';
import { isClosed } from './http/server-errors.ts';
import { ServerWatch } from './http/server-watch.ts';
import { completionBody } from './llama-server/completion-request.ts';
import { describeServer, type ServerFacts } from './llama-server/describe-server.ts';
import { embeddingsOf } from './llama-server/embeddings.ts';
import { LearnedVocabulary } from './llama-server/learned-vocabulary.ts';
import { LocalTokenizer, type LocalTokenizerOptions } from './llama-server/local-tokenizer.ts';
import {
  onlyPrompt,
  type Reply,
  type ReplyContext,
  readStreamedReply,
  readWholeReply,
} from './llama-server/read-reply.ts';
import { LLAMA_SERVER, servesAnotherModel } from './llama-server/server-errors.ts';
import { SlotErasure } from './llama-server/slot-erasure.ts';
import { type SlotOutcome, SlotTable } from './llama-server/slot-table.ts';
import { SlotWarming } from './llama-server/slot-warming.ts';
import type {
  Embeddings,
  GenerationEvent,
  GenerationPart,
  GenerationProgress,
  GenerationRequest,
  GenerationUsage,
  LlmDescription,
  LlmService,
  SlotState,
  Warming,
} from './llm-service.ts';
import { ChunkedWarming } from './warming/chunked-warming.ts';
import { WarmAccount } from './warming/warm-account.ts';

export interface LlamaServerOptions {
  /** Where the server listens, e.g. `http://127.0.0.1:8080`; a path is kept as a prefix. */
  readonly url: string;
  /** The model's name in the identity; by default the server's alias or model file, without folder and `.gguf`. */
  readonly modelName?: string | undefined;
  /** Jinja source in place of the server's. */
  readonly chatTemplate?: string | undefined;
  readonly apiKey?: string | undefined;
  /** How long the server may take to accept a connection. */
  readonly connectTimeoutMs: number;
  /**
   * How long the server may send nothing. A streamed reply sends something with every batch of the prompt and every
   * token; a reply in one piece has to be complete within this time.
   */
  readonly idleTimeoutMs: number;
  /** Where texts are tokenized; by the server when left out. */
  readonly localTokenizer?: LocalTokenizerOptions | undefined;
}

/**
 * A stock llama-server (llama.cpp) as the LLM Service. Best started with a fixed number of slots (`--parallel N`): with
 * the automatic one it clears idle slots, and sessions that share a system message evaluate parts of their context again.
 * Throws `llm_unavailable` (not there, still loading, wrong key), `llm_timeout` or `llm_bad_reply`.
 */
export async function connectLlamaServer(options: LlamaServerOptions, environment: Environment): Promise<LlmService> {
  const { url, modelName, chatTemplate, apiKey, connectTimeoutMs, idleTimeoutMs } = options;
  const connection = new ServerConnection(LLAMA_SERVER, { url, apiKey, connectTimeoutMs, idleTimeoutMs }, environment);
  const describe = () => describeServer(connection, { modelName, chatTemplate, signal: undefined });
  const { clock, logger } = environment;
  try {
    const facts = await describe();
    const localTokenizer = options.localTokenizer && (await LocalTokenizer.open(options.localTokenizer, facts, logger));
    const server = new LlamaServer({ connection, facts, localTokenizer, describe, environment });
    await within({ clock, waitMs: VOCABULARY_WAIT_MS }, server.learnVocabulary(), () => {});
    return server;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** A busy server does not hold up the start: what it tells later is learned then. */
const VOCABULARY_WAIT_MS = 5_000;

interface LlamaServerParts {
  readonly connection: ServerConnection;
  readonly facts: ServerFacts;
  readonly localTokenizer: LocalTokenizer | undefined;
  readonly describe: () => Promise<ServerFacts>;
  readonly environment: Environment;
}

class LlamaServer implements LlmService {
  readonly program = 'llama-server';
  readonly description: LlmDescription;
  readonly #parts: LlamaServerParts;
  readonly #slots: SlotTable;
  readonly #watch: ServerWatch<ReturnType<typeof servedBy>>;
  readonly #warmSlots: SlotWarming;
  readonly #warming: ChunkedWarming;
  readonly #vocabulary: LearnedVocabulary;
  #isClosed = false;
  readonly #closing = new AbortController();

  constructor(parts: LlamaServerParts) {
    this.description = parts.facts.description;
    this.#parts = parts;
    const { connection, describe, facts } = parts;
    const { clock, logger } = parts.environment;
    const account = new WarmAccount();
    const onSlotsNotKept = () =>
      logger.warn('llama_server_clears_idle_slots', {
        url: parts.connection.url.origin,
        advice: 'start llama-server with --parallel N; until then sessions find less of their context in its cache',
      });
    this.#slots = new SlotTable(parts.facts.slots, onSlotsNotKept, account);
    this.#watch = new ServerWatch({
      ...{ state: servedBy(facts), clock },
      // Each reply names the model, so silence is no reason to ask.
      sureMs: Number.POSITIVE_INFINITY,
      ask: async () => servedBy(await describe()),
      servesAnother: () => servesAnotherModel(connection.url),
      onDoubt: () => this.#slots.doubt(),
    });
    const erasure = new SlotErasure(connection, logger);
    const closing = this.#closing.signal;
    this.#warmSlots = new SlotWarming({
      ...{ slots: this.#slots, clock },
      check: (prompt) => this.#check({ prompt, maxTokens: 0 }),
      fill: (prompt, slot, stop) => this.#fill(prompt, slot, stop),
      erase: (slot) => this.#watch.told(() => erasure.erase(slot, closing), closing),
    });
    this.#warming = new ChunkedWarming(this.#warmSlots, { account, clock, logger });
    const { description } = this;
    const { tokenizer } = facts;
    const generate = this.generate.bind(this);
    this.#vocabulary = new LearnedVocabulary({ description, tokenizer, generate }, { url: connection.url, logger });
  }

  get parallel(): number {
    return this.#parts.facts.slots;
  }

  get warming(): Warming {
    return this.#warming;
  }

  get tokenizer(): string {
    const { localTokenizer } = this.#parts;
    return localTokenizer === undefined ? 'llama-server' : `here, with ${localTokenizer.path}`;
  }

  async tokenize(text: string, { parseSpecial }: { readonly parseSpecial: boolean }): Promise<TokenId[]> {
    if (this.#isClosed) throw isClosed();
    const ids = await this.#parts.localTokenizer?.tokenize(text, { parseSpecial });
    if (ids !== undefined) return ids;
    return this.#watch.told(() => this.#parts.facts.tokenizer.tokenize(text, { parseSpecial }));
  }

  async detokenize(ids: TokenSequence, { special } = { special: false }): Promise<string> {
    const { tokenizer } = this.#parts.facts;
    if (special) return this.#watch.told(() => tokenizer.spell(ids));
    tokenizer.requireInVocabulary(ids);
    if (this.#isClosed) throw isClosed();
    const known = this.#vocabulary.textOf(ids);
    if (known !== undefined) return known;
    const text = await this.#watch.told(() => tokenizer.detokenize(ids));
    // It answers, so it may tell now what it did not before.
    void this.#vocabulary.learn();
    return text;
  }

  /** Resolves once it is learned, or the server has not told it. */
  learnVocabulary(): Promise<void> {
    return this.#vocabulary.learn();
  }

  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    return this.#watch.told(() => this.#parts.facts.tokenizer.pieces(ids));
  }

  slots(): readonly SlotState[] {
    return this.#slots.states();
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    this.#check(request);
    // A caller that names a slot is on its own: the table only learns what became of it.
    const affinity = request.sampling.id_slot === undefined ? request.affinity : undefined;
    const leave = await this.#warmSlots.hurried(this.#warming.enter(affinity, signal));
    const lease = await this.#slots.acquire({ prompt: request.prompt, affinity }, signal).catch((error: unknown) => {
      leave();
      throw error;
    });
    let reply: Reply | undefined;
    let warmedTokens = 0;
    try {
      await this.#watch.expectSame(signal);
      const answered = yield* this.#reply(request, lease.slot, signal);
      await this.#watch.expectSame(signal);
      reply = answered;
    } catch (error) {
      throw this.#watch.noticed(error);
    } finally {
      warmedTokens = this.#warming.account.found(lease.warm, reply?.end.usage.cachedTokens ?? 0);
      lease.release(reply && outcomeOf(request, reply));
      leave();
    }
    this.#warmSlots.generated(reply.end.usage);
    yield { ...reply.end, usage: { ...reply.end.usage, warmedTokens } };
  }

  embed(inputs: readonly (string | TokenSequence)[], signal: AbortSignal): Promise<Embeddings> {
    return this.#watch.told(() => embeddingsOf(this.#parts.connection, inputs, signal), signal);
  }

  async ready(): Promise<void> {
    await this.#watch.told(() => this.#parts.connection.get('health'));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const warmed = this.#warming.close();
    this.#closing.abort(isClosed());
    this.#slots.close(isClosed());
    this.#parts.connection.close();
    await warmed;
    await this.#parts.localTokenizer?.close();
  }

  async *#reply(
    request: GenerationRequest,
    slot: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<GenerationPart | GenerationProgress, Reply> {
    const { connection } = this.#parts;
    const promptTokens = request.prompt.length;
    // Never past the context window: a server started with --context-shift would drop the beginning instead of stopping.
    const maxTokens = Math.min(request.maxTokens, this.description.contextTokens - promptTokens);
    const isFill = maxTokens === 0;
    const stream = request.stream || isFill;
    const body = completionBody({ ...request, stream }, { maxTokens, slot });
    const context = this.#replyContext({ ...request, maxTokens }, signal);
    if (stream) {
      const reply = readStreamedReply(connection.stream('completion', body, signal), context);
      return yield* isFill ? onlyPrompt(reply) : reply;
    }

    const reply = readWholeReply(await connection.post('completion', body, signal), context);
    yield { kind: 'part', text: reply.end.text, ids: reply.end.ids };
    return reply;
  }

  #replyContext({ prompt, maxTokens, tell }: GenerationRequest, signal: AbortSignal): ReplyContext {
    const { connection, facts } = this.#parts;
    // Asked for no id it samples one all the same.
    const sampledMax = Math.max(1, maxTokens);
    return { url: connection.url, facts, promptTokens: prompt.length, maxTokens: sampledMax, tell, signal };
  }

  /** Once it is there. Throws as `generate` does. */
  async #fill(prompt: TokenSequence, slot: number, stop: AbortSignal): Promise<GenerationUsage> {
    const signal = AbortSignal.any([this.#closing.signal, stop]);
    const request = { prompt, maxTokens: 0, stop: [], sampling: {}, affinity: undefined, stream: false };
    const body = completionBody(request, { maxTokens: 0, slot });
    const reply = await this.#watch.told(() => this.#parts.connection.post('completion', body, signal), signal);
    return readWholeReply(reply, this.#replyContext(request, signal)).end.usage;
  }

  #check({ prompt, maxTokens }: Pick<GenerationRequest, 'prompt' | 'maxTokens'>): void {
    const { contextTokens } = this.description;
    if (prompt.length === 0) throw new DiscedgeError('invalid_request', 'The prompt is empty.');
    if (!(Number.isInteger(maxTokens) && maxTokens >= 0)) {
      throw new DiscedgeError('invalid_request', 'The length of a reply is a whole number of ids.');
    }
    this.#parts.facts.tokenizer.requireInVocabulary(prompt);
    if (prompt.length >= contextTokens) {
      throw new DiscedgeError(
        'context_overflow',
        `The prompt has ${prompt.length} ids and leaves no room for a reply in a context window of ${contextTokens}.`,
      );
    }
  }
}

/** What makes it the same server to a session; where its file lies does not. */
function servedBy({ tokenizer: _, modelFile: __, ...facts }: ServerFacts) {
  return facts;
}

function outcomeOf({ prompt }: GenerationRequest, { end, slot }: Reply): SlotOutcome {
  const held = prompt.slice();
  // The last id was sampled and never evaluated; of ids that were recovered it is not known that the cache has them.
  if (end.exact) appendTokens(held, end.ids.slice(0, -1));
  return { slot, held, cachedTokens: end.usage.cachedTokens };
}
