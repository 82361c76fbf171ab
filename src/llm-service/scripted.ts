import { setImmediate } from 'node:timers/promises';
import { digestText, TOKENIZER_PROBES, tokenizerDigest } from '../domain/cluster/model-identity.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { TokenId, TokenSequence } from '../domain/token-sequence.ts';
import type { Environment } from '../environment/environment.ts';
import { pause } from '../waiting/pause.ts';
import type {
  Embeddings,
  GenerationEnd,
  GenerationEvent,
  GenerationRequest,
  LlmDescription,
  LlmService,
  SlotState,
  Warming,
} from './llm-service.ts';
import { ReplyText } from './reply-text.ts';
import { SimulatedCache, type SimulatedCacheOptions } from './scripted/simulated-cache.ts';

export interface ScriptedOptions {
  readonly modelName?: string | undefined;
  readonly contextTokens?: number | undefined;
  /** How many generations it is to be given at once; left out: any number, which it works on as if it had one slot. */
  readonly parallel?: number | undefined;
  /** Jinja source; ChatML when left out. */
  readonly chatTemplate?: string | undefined;
  /** The KV cache that it pretends to have; by default one that evaluates in no time. */
  readonly cache?: SimulatedCacheOptions | undefined;
  /** Milliseconds before the first part, and before each further one. 0: as fast as the event loop goes. */
  readonly delayMs?: number;
  /**
   * The reply's text for a prompt's text; default: counts the turns and repeats the last user message, or all of them
   * where that begins with "Recall", or their beginnings where it asks for a summary.
   */
  readonly reply?: (prompt: string) => string;
}

const BYTES = 256;
const CONTROL_TOKENS = ['<|im_start|>', '<|im_end|>'] as const;
const IM_END = (BYTES + 1) as TokenId;

const TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Bounds the memory of what it pretends to keep. */
const CACHE: SimulatedCacheOptions = { sequences: 64, msPerToken: 0 };

/** A message that begins with it shows what the model has read, so that a test can hold it against what it should have. */
const RECALL = 'Recall';
/** The same, but for how the messages go on: as a summary is, it is made of what was read, and shorter. */
const SUMMARIZE = 'Summarize';
const BEGINNING_CHARACTERS = 32;

/** Ids in one part of a streamed reply. */
const PART_TOKENS = 4;

/**
 * A deterministic LLM Service without a model: one id per UTF-8 byte, ChatML control tokens, and a reply that is a
 * function of the prompt; `ignore_eos` repeats it up to the limit, other sampling parameters change nothing. For tests,
 * and for measuring what the Context Manager itself costs.
 */
export function startScripted(options: ScriptedOptions, environment: Environment): LlmService {
  return new ScriptedLlm(options, environment);
}

/** Of an embedding. */
const VECTOR_LENGTH = 8;

class ScriptedLlm implements LlmService {
  readonly description: LlmDescription;
  readonly parallel?: number;
  readonly #options: ScriptedOptions;
  readonly #environment: Environment;
  readonly #cache: SimulatedCache;
  readonly #closing = new AbortController();
  /** Generations under way. */
  #working = 0;

  constructor(options: ScriptedOptions, environment: Environment) {
    this.#options = options;
    if (options.parallel !== undefined) this.parallel = options.parallel;
    this.#environment = environment;
    const check = this.#checkPrompt.bind(this);
    this.#cache = new SimulatedCache(options.cache ?? CACHE, { ...environment, check });
    const chatTemplate = options.chatTemplate ?? TEMPLATE;
    this.description = {
      identity: {
        name: options.modelName ?? 'scripted',
        tokenizerDigest: tokenizerDigest(TOKENIZER_PROBES.map((text) => encode(text))),
        templateDigest: digestText(chatTemplate),
      },
      contextTokens: options.contextTokens ?? 1_048_576,
      vocabularySize: BYTES + CONTROL_TOKENS.length,
      chatTemplate,
      bosText: '',
      eosText: '<|im_end|>',
      prependBos: undefined,
      endOfGeneration: new Set([IM_END]),
    };
  }

  get warming(): Warming {
    return this.#cache.warming;
  }

  async tokenize(text: string, { parseSpecial }: { parseSpecial: boolean }): Promise<TokenId[]> {
    this.#assertOpen();
    if (!parseSpecial) return encode(text);
    return text.split(/(<\|im_start\|>|<\|im_end\|>)/).flatMap((piece) => {
      const control = CONTROL_TOKENS.indexOf(piece as (typeof CONTROL_TOKENS)[number]);
      return control === -1 ? encode(piece) : [(BYTES + control) as TokenId];
    });
  }

  async detokenize(ids: TokenSequence, { special } = { special: false }): Promise<string> {
    this.#assertOpen();
    this.#checkIds(ids);
    return special ? textOf(ids) : Buffer.from(ids.filter((id) => id < BYTES)).toString('utf8');
  }

  async pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    this.#assertOpen();
    this.#checkIds(ids);
    return ids.map(bytesOf);
  }

  /** How often each of a few kinds of ids stands in it. */
  async embed(inputs: readonly (string | TokenSequence)[]): Promise<Embeddings> {
    this.#assertOpen();
    const texts = inputs.map((input) => (typeof input === 'string' ? encode(input) : input));
    for (const ids of texts) this.#checkIds(ids);
    const vectors = texts.map((ids) =>
      Array.from({ length: VECTOR_LENGTH }, (_, kind) => {
        const ofKind = ids.reduce((count, id) => (id % VECTOR_LENGTH === kind ? count + 1 : count), 0);
        return ids.length === 0 ? 0 : ofKind / ids.length;
      }),
    );
    return { vectors, promptTokens: texts.reduce((sum, { length }) => sum + length, 0) };
  }

  slots(): readonly SlotState[] {
    return Array.from({ length: this.#options.parallel ?? 1 }, (_, place) => ({ busy: place < this.#working }));
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent> {
    this.#working++;
    let leave = () => {};
    try {
      leave = await this.#cache.warming.enter(request.affinity, signal);
      yield* this.#reply(request, signal);
    } finally {
      leave();
      this.#working--;
    }
  }

  async *#reply(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent> {
    this.#assertOpen();
    const { prompt, maxTokens, affinity } = request;
    this.#checkPrompt(prompt);
    if (maxTokens < 0) throw new DiscedgeError('invalid_request', 'a reply has no negative length');
    signal.throwIfAborted();
    const { tell } = request;
    const { cachedTokens, warmedTokens } = this.#cache.find(affinity, prompt);
    const startedMs = this.#environment.clock.monotonic();
    await this.#cache.evaluate(prompt.length - cachedTokens, signal);
    signal.throwIfAborted();
    this.#assertOpen();
    const promptMs = this.#environment.clock.monotonic() - startedMs;
    const limit = Math.min(maxTokens, this.description.contextTokens - prompt.length);
    const script = encode((this.#options.reply ?? defaultReply)(textOf(prompt)));
    const endless = request.sampling.ignore_eos === true && script.length > 0;
    const shown = new ReplyText(request.stop);
    const decoder = new TextDecoder();
    const ids: TokenId[] = [];
    let text = '';
    let end: GenerationEnd['stop'] | undefined = limit === 0 ? { kind: 'limit' } : undefined;
    const usage = () => ({
      cachedTokens,
      warmedTokens,
      evaluatedTokens: prompt.length - cachedTokens,
      promptMs,
      predictedTokens: ids.length,
      predictedMs: 0,
    });
    if (tell?.progress) {
      const promptTokens = prompt.length;
      yield { kind: 'progress', promptTokens, cachedTokens, processedTokens: promptTokens, elapsedMs: promptMs };
    }
    while (end === undefined) {
      await this.#pause(signal);
      const part: TokenId[] = [];
      let partText = '';
      while (end === undefined && part.length < PART_TOKENS) {
        const id = (endless ? script[ids.length % script.length] : script[ids.length]) ?? IM_END;
        ids.push(id);
        part.push(id);
        if (id === IM_END) {
          end = { kind: 'end' };
          break;
        }
        const pushed = shown.push(decoder.decode(Uint8Array.of(id), { stream: true }));
        partText += pushed.text;
        if (pushed.stoppedBy !== undefined) end = { kind: 'word', word: pushed.stoppedBy };
        else if (ids.length >= limit) end = { kind: 'limit' };
      }
      if (end !== undefined && end.kind !== 'word') partText += shown.end();
      text += partText;
      yield { kind: 'part', text: partText, ids: part, ...(tell?.usage && { usage: usage() }) };
    }
    // Copied: the prompt is the caller's live array. The last id is kept by no engine: it was not evaluated.
    if (affinity !== undefined) this.#cache.keep(affinity, prompt.concat(ids.slice(0, -1)));
    yield {
      kind: 'end',
      ids,
      text,
      exact: true,
      stop: end,
      usage: usage(),
      slot: 0,
    };
  }

  async ready(): Promise<void> {
    this.#assertOpen();
  }

  async close(): Promise<void> {
    this.#closing.abort(new DiscedgeError('llm_unavailable', 'the LLM Service was closed'));
    await this.#cache.warming.close();
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const { delayMs = 0 } = this.#options;
    if (delayMs === 0) await setImmediate();
    else await pause(this.#environment.clock, delayMs, signal);
    signal.throwIfAborted();
    this.#assertOpen();
  }

  #assertOpen(): void {
    this.#closing.signal.throwIfAborted();
  }

  #checkPrompt(prompt: TokenSequence): void {
    this.#checkIds(prompt);
    if (prompt.length === 0)
      throw new DiscedgeError('invalid_request', 'the prompt has no tokens', { param: 'prompt' });
    if (prompt.length < this.description.contextTokens) return;
    const message = `a prompt of ${prompt.length} ids leaves no room in ${this.description.contextTokens}`;
    throw new DiscedgeError('context_overflow', message);
  }

  #checkIds(ids: TokenSequence): void {
    if (ids.some((id) => !Number.isInteger(id) || id < 0 || id >= this.description.vocabularySize)) {
      throw new DiscedgeError('invalid_request', `ids must be whole numbers below ${this.description.vocabularySize}`, {
        param: 'prompt',
      });
    }
  }
}

function encode(text: string): TokenId[] {
  return [...Buffer.from(text, 'utf8')] as TokenId[];
}

/** Prompt as text, control tokens spelled out. */
function textOf(prompt: TokenSequence): string {
  return Buffer.concat(prompt.map(bytesOf)).toString('utf8');
}

function bytesOf(id: TokenId): Uint8Array {
  return id < BYTES ? Buffer.of(id) : Buffer.from(CONTROL_TOKENS[id - BYTES] as string);
}

function defaultReply(prompt: string): string {
  const [, ...users] = prompt.split('<|im_start|>user\n').map((segment) => segment.split('<|im_end|>', 1)[0] ?? '');
  const last = users.at(-1) ?? prompt;
  return `Turn ${users.length}: ${answerTo(last, users)}`;
}

function answerTo(last: string, users: readonly string[]): string {
  if (last.startsWith(RECALL)) return users.join(' | ');
  if (last.startsWith(SUMMARIZE)) return users.map((text) => text.slice(0, BEGINNING_CHARACTERS)).join(' | ');
  return last;
}
