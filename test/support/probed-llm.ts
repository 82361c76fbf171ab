import { DiscedgeError } from '../../src/domain/errors.ts';
import type { TokenId, TokenSequence } from '../../src/domain/token-sequence.ts';
import type { Environment } from '../../src/environment/environment.ts';
import type {
  Embedder,
  Embeddings,
  GenerationEnd,
  GenerationEvent,
  GenerationRequest,
  LlmDescription,
  LlmService,
  Warming,
} from '../../src/llm-service/llm-service.ts';
import { type ScriptedOptions, startScripted } from '../../src/llm-service/scripted.ts';
import { Hold } from './hold.ts';

/** One call of `generate`, as it was asked and how it ended. */
export interface Generation {
  readonly request: Omit<GenerationRequest, 'prompt'>;
  /** A copy: the caller's array lives on. */
  readonly prompt: TokenSequence;
  /** `undefined` while it runs, and when it failed. */
  end: GenerationEnd | undefined;
  error: unknown;
}

type Answer = (request: GenerationRequest, signal: AbortSignal) => AsyncIterable<GenerationEvent>;

/** Control ids of the scripted model: bytes come before them. */
export const IM_START = 256 as TokenId;
export const IM_END = 257 as TokenId;

/** The prompt's text, with a mark for each control id. */
export const textOf = ({ prompt }: Pick<Generation, 'prompt'>) =>
  Buffer.from(prompt.map((id) => (id >= IM_START ? 1 : id))).toString();

/** The scripted LLM Service, watched, and told to misbehave one call at a time. */
export class ProbedLlm implements LlmService {
  readonly description: LlmDescription;
  readonly warming: Warming;
  readonly parallel?: number;
  readonly generations: Generation[] = [];
  /** From now on nothing can be put into ids or words. */
  isGone = false;
  /** How often it was asked to. */
  tokenizations = 0;
  readonly #inner: LlmService;
  readonly #next: Answer[] = [];

  constructor(options: ScriptedOptions, environment: Environment) {
    this.#inner = startScripted(options, environment);
    this.description = this.#inner.description;
    this.warming = this.#inner.warming as Warming;
    if (this.#inner.parallel !== undefined) this.parallel = this.#inner.parallel;
  }

  /** Whether there is KV state of a session. Of what there is one id stays. */
  async holdsState(affinity: string): Promise<boolean> {
    // All prompts of its chat template begin so.
    const prompt = [IM_START, IM_START];
    const asked = { prompt, maxTokens: 0, stop: [], sampling: {}, affinity, stream: false };
    let holds = false;
    for await (const event of this.#inner.generate(asked, new AbortController().signal))
      if (event.kind === 'end') holds = event.usage.cachedTokens > 0;
    if (!holds) this.warming.forget(affinity);
    return holds;
  }

  /** The next call stays before its first part until released; it ends when it is aborted. */
  hold(): Hold {
    const hold = new Hold();
    const inner = this.#inner;
    this.#next.push(async function* (request, signal) {
      await hold.pass(signal);
      yield* inner.generate(request, signal);
    });
    return hold;
  }

  /** The next call has sent everything but its `end`, and stays there until released, whatever its signal says. */
  holdEnd(): Hold {
    const hold = new Hold();
    const inner = this.#inner;
    this.#next.push(async function* (request, signal) {
      for await (const event of inner.generate(request, signal)) {
        if (event.kind === 'end') await hold.pass();
        yield event;
      }
    });
    return hold;
  }

  /** The next call fails: before anything, after its first part, or by ending without `end`. */
  failNext(how: 'at once' | 'midway' | 'no end'): void {
    const inner = this.#inner;
    const failure = () => new DiscedgeError('llm_unavailable', 'the LLM Service went away');
    if (how === 'at once') {
      this.#next.push(() => {
        throw failure();
      });
      return;
    }
    this.#next.push(async function* (request, signal) {
      for await (const event of inner.generate(request, signal)) {
        if (event.kind === 'end') return;
        yield event;
        if (how === 'midway') throw failure();
      }
    });
  }

  generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent> {
    const { prompt, ...rest } = request;
    const generation: Generation = { request: rest, prompt: prompt.slice(), end: undefined, error: undefined };
    this.generations.push(generation);
    const answer = this.#next.shift() ?? ((...args) => this.#inner.generate(...args));
    return watched(answer(request, signal), generation);
  }

  async tokenize(text: string, options: { parseSpecial: boolean }): Promise<TokenId[]> {
    this.#ask();
    return this.#inner.tokenize(text, options);
  }

  async detokenize(ids: TokenSequence, how?: { special: boolean }): Promise<string> {
    this.#ask();
    return this.#inner.detokenize(ids, how);
  }

  async embed(inputs: readonly (string | TokenSequence)[], signal: AbortSignal): Promise<Embeddings> {
    this.#ask();
    return (this.#inner.embed as Embedder['embed'])(inputs, signal);
  }

  pieces(ids: TokenSequence): Promise<Uint8Array[]> {
    return this.#inner.pieces(ids);
  }

  slots() {
    return this.#inner.slots();
  }

  ready(): Promise<void> {
    return this.#inner.ready();
  }

  #ask(): void {
    this.tokenizations++;
    if (this.isGone) throw new DiscedgeError('llm_unavailable', 'the LLM Service went away');
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

async function* watched(events: AsyncIterable<GenerationEvent>, generation: Generation) {
  try {
    for await (const event of events) {
      if (event.kind === 'end') generation.end = event;
      yield event;
    }
  } catch (error) {
    generation.error = error;
    throw error;
  }
}
