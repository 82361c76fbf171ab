import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import type { TokenId, TokenSequence } from '../domain/token-sequence.ts';
import type { Environment } from '../environment/environment.ts';
import { ServerConnection } from './http/server-connection.ts';
import { isClosed } from './http/server-errors.ts';
import { ServerWatch } from './http/server-watch.ts';
import type {
  GenerationEvent,
  GenerationPart,
  GenerationRequest,
  GenerationUsage,
  LlmDescription,
  LlmService,
  SlotState,
} from './llm-service.ts';
import { assertPrompt, assertVocabulary } from './prompt-checks.ts';
import { samplingSettings } from './sampling-settings.ts';
import { askState, chooseApi, describeModel, type ServerState, vocabularyFor } from './vllm/describe-vllm.ts';
import { type ReplyEnd, ReplyReader } from './vllm/generation-reply.ts';
import { PATHS, requestBody, type VllmApi } from './vllm/generation-request.ts';
import { type ModelVocabulary, ofGguf } from './vllm/model-vocabulary.ts';
import { Places } from './vllm/places.ts';
import { readSampling } from './vllm/sampling.ts';
import { shownBytesOf } from './vllm/shown-bytes.ts';
import { openTokenizerFile } from './vllm/tokenizer-file.ts';
import { servesAnotherModel, VLLM } from './vllm/vllm-errors.ts';

export interface VllmOptions {
  /** Where the server listens, e.g. `http://127.0.0.1:8000`; a path is kept as a prefix. */
  readonly url: string;
  /** The model's name in the identity; by default the one it has at the server, without folder. */
  readonly modelName?: string | undefined;
  /** Jinja source in place of the server's or the tokenizer file's. */
  readonly chatTemplate?: string | undefined;
  readonly apiKey?: string | undefined;
  /** How long the server may take to accept a connection. */
  readonly connectTimeoutMs: number;
  /** How long the server may send nothing. It says nothing of a prompt before the first id of the reply. */
  readonly idleTimeoutMs: number;
  /**
   * Who tokenizes: the server; `told`, the `tokenizer.json` in the folder that the server names, where it can be read here; or a file,
   * the model's `tokenizer.json` or a GGUF with its vocabulary.
   */
  readonly tokenizer?: 'server' | 'told' | { readonly path: string } | undefined;
  /** Opens the vocabulary of a GGUF file in a process of its own: native code reads what users write. */
  startVocabulary?(path: string): Promise<LlmService>;
  /** Generations at the server at once; further ones wait here. */
  readonly parallel?: number | undefined;
  /** Whether a user may go on from another's KV state where their ids are equal, which can be timed. */
  readonly sharesOwners?: boolean | undefined;
}

/** As many as a setting may ask for: vLLM batches them. */
const PARALLEL_DEFAULT = 64;

/**
 * A stock vLLM as the LLM Service. It has to be started with `--enable-prompt-tokens-details`, and best with `--enable-scale-out`
 * (tokens in, tokens out). Throws `llm_unavailable` (not there, still loading, wrong key, without a flag that it needs),
 * `model_unusable` (a tokenizer file that is another model's), `llm_timeout` or `llm_bad_reply`.
 */
export async function connectVllm(options: VllmOptions, environment: Environment): Promise<LlmService> {
  const { url, apiKey, connectTimeoutMs, idleTimeoutMs, tokenizer = 'server', startVocabulary } = options;
  const connection = new ServerConnection(VLLM, { url, apiKey, connectTimeoutMs, idleTimeoutMs }, environment);
  let vocabulary: ModelVocabulary | undefined;
  try {
    const state = await askState(connection);
    const path = typeof tokenizer === 'object' ? tokenizer.path : join(state.root ?? '', 'tokenizer.json');
    const file = tokenizer === 'server' ? undefined : () => openFile(path, startVocabulary);
    vocabulary = await vocabularyFor(connection, state, file);
    const { modelName, chatTemplate } = options;
    const description = await describeModel(state, vocabulary, { modelName, chatTemplate });
    const [id] = await vocabulary.tokenize('a', { parseSpecial: false });
    const api = await chooseApi(connection, state.id, id ?? (0 as TokenId));
    const { logger } = environment;
    if (api === 'completions')
      logger.info('vllm_without_generate', { url: connection.url.origin, flag: '--enable-scale-out' });
    return new Vllm({ connection, state, vocabulary, description, api, options, environment });
  } catch (error) {
    await vocabulary?.close();
    connection.close();
    throw error;
  }
}

async function openFile(path: string, startVocabulary: VllmOptions['startVocabulary']): Promise<ModelVocabulary> {
  if (startVocabulary === undefined || path.endsWith('.json')) return openTokenizerFile(path);
  return ofGguf(await startVocabulary(path), path);
}

interface VllmParts {
  readonly connection: ServerConnection;
  readonly state: ServerState;
  readonly vocabulary: ModelVocabulary;
  readonly description: LlmDescription;
  readonly api: VllmApi;
  readonly options: VllmOptions;
  readonly environment: Environment;
}

/** A vLLM that starts takes longer. */
const SAME_SERVER_MS = 5_000;

class Vllm implements LlmService {
  readonly program = 'vLLM';
  readonly description: LlmDescription;
  readonly parallel: number;
  readonly #parts: VllmParts;
  readonly #places: Places;
  readonly #watch: ServerWatch<ServerState>;
  #isClosed = false;

  constructor(parts: VllmParts) {
    this.description = parts.description;
    this.#parts = parts;
    this.parallel = parts.options.parallel ?? PARALLEL_DEFAULT;
    this.#places = new Places(this.parallel);
    const { connection, state, vocabulary, environment } = parts;
    const onDoubt = () => vocabulary.forget?.();
    this.#watch = new ServerWatch({
      ...{ state, clock: environment.clock, sureMs: SAME_SERVER_MS, onDoubt },
      ask: () => askState(connection),
      servesAnother: () => servesAnotherModel(connection.url),
    });
  }

  get tokenizer(): string {
    return this.#parts.vocabulary.where;
  }

  async tokenize(text: string, how: { readonly parseSpecial: boolean }): Promise<TokenId[]> {
    return this.#ask((vocabulary) => vocabulary.tokenize(text, how));
  }

  async detokenize(ids: TokenSequence, how?: { readonly special: boolean }): Promise<string> {
    assertVocabulary(ids, this.description);
    return this.#ask((vocabulary) => vocabulary.detokenize(ids, how));
  }

  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    assertVocabulary(ids, this.description);
    return this.#ask((vocabulary) => vocabulary.pieces(ids));
  }

  slots(): readonly SlotState[] {
    return this.#places.states();
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    this.#expectOpen();
    assertPrompt(request, this.description);
    const lease = await this.#places.take(signal);
    try {
      await this.#watch.expectSame(signal);
      yield* this.#reply(request, lease.place, signal);
      this.#watch.heard();
    } catch (error) {
      throw this.#watch.noticed(error);
    } finally {
      lease.giveBack();
    }
  }

  async ready(): Promise<void> {
    this.#expectOpen();
    await this.#watch.lookAgain();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#places.close(isClosed());
    this.#parts.connection.close();
    await this.#parts.vocabulary.close();
  }

  async *#reply(
    request: GenerationRequest,
    slot: number,
    signal: AbortSignal,
  ): AsyncGenerator<GenerationPart | GenerationEvent> {
    const { connection, description, state } = this.#parts;
    const { prompt, stream, owner } = request;
    const { vocabularySize, endOfGeneration, contextTokens } = description;
    const read = await readSampling(request.sampling, {
      vocabularySize,
      endOfGeneration,
      tokenize: (text, how) => this.tokenize(text, how),
    });
    const isFill = request.maxTokens === 0;
    // It samples one id at least.
    const maxTokens = Math.max(1, Math.min(request.maxTokens, contextTokens - prompt.length));
    // Only one of its APIs names the ids of what it might have sampled.
    const api = read.probabilities > 0 ? 'completions' : this.#parts.api;
    const stopIds = [...endOfGeneration];
    const parts = { model: state.id, read, maxTokens, stopIds, cacheSalt: this.#saltOf(owner) };
    const body = requestBody(api, request, parts);
    const shownBytes = (ids: readonly TokenId[]) =>
      this.#ask((vocabulary) => shownBytesOf(ids, vocabulary, signal), signal);
    const context = { url: connection.url, promptTokens: prompt.length, maxTokens, vocabularySize, shownBytes };
    const reader = new ReplyReader(context);
    const startMs = this.#nowMs();
    let firstMs: number | undefined;
    if (stream) {
      for await (const batch of connection.stream(PATHS[api], body, signal)) {
        for (const data of batch) {
          const value = reader.parse(data);
          const part = value === undefined ? undefined : await reader.push(value);
          if (part === undefined) continue;
          firstMs ??= this.#nowMs();
          if (!isFill) yield part;
        }
      }
    } else {
      const part = await reader.push(await connection.post(PATHS[api], body, signal));
      if (part !== undefined && !isFill) yield part;
    }
    const end = reader.end();
    const promptMs = Math.max(0, (firstMs ?? startMs) - startMs);
    const usage = { promptMs, predictedMs: Math.max(0, this.#nowMs() - startMs - promptMs) };
    const settings = samplingSettings(request.sampling, read.sampling.seed ?? -1);
    yield { ...endOf(end, { isFill, promptTokens: prompt.length, usage }), slot, settings };
  }

  /**
   * What keeps the KV state of one user from another: equal at every node that has the server's key, and not to be guessed without it.
   */
  #saltOf(owner: string | undefined): string | undefined {
    const { sharesOwners, apiKey } = this.#parts.options;
    if (sharesOwners === true) return undefined;
    return createHmac('sha256', apiKey ?? '')
      .update(JSON.stringify(['discedge', owner ?? null]))
      .digest('base64url');
  }

  /** Of the server, where it tokenizes, only while it is the same: ids of another's would be stored. */
  async #ask<T>(ask: (vocabulary: ModelVocabulary) => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#expectOpen();
    const { vocabulary } = this.#parts;
    return vocabulary.asksServer ? this.#watch.told(() => ask(vocabulary), signal) : ask(vocabulary);
  }

  #expectOpen(): void {
    if (this.#isClosed) throw isClosed();
  }

  #nowMs(): number {
    return this.#parts.environment.clock.monotonic();
  }
}

function endOf(
  { ids, text, stop, cachedTokens, fields }: ReplyEnd,
  {
    isFill,
    promptTokens,
    usage,
  }: { isFill: boolean; promptTokens: number; usage: Pick<GenerationUsage, 'promptMs' | 'predictedMs'> },
) {
  const counted = { cachedTokens, evaluatedTokens: promptTokens - cachedTokens, ...usage };
  if (isFill) {
    const filled = { ...counted, predictedTokens: 0, predictedMs: 0 };
    return { kind: 'end', ids: [], text: '', exact: true, stop: { kind: 'limit' }, usage: filled } as const;
  }
  const told = { ...counted, predictedTokens: ids.length };
  return { kind: 'end', ids, text, exact: true, stop, usage: told, ...(fields && { fields }) } as const;
}
