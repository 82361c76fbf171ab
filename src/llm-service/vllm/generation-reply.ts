import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { DiscedgeError } from '../../domain/errors.ts';
import type { StopReason } from '../../domain/record/turn-record.ts';
import { appendTokens, type TokenId } from '../../domain/token-sequence.ts';
import type { GenerationPart } from '../llm-service.ts';
import { probabilitiesOf } from './probabilities.ts';
import { badReply, errorOfEvent } from './vllm-errors.ts';

const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Optional(Type.Union([Type.Null(), schema]));

const Usage = Type.Object({
  prompt_tokens: Count,
  completion_tokens: Count,
  prompt_tokens_details: orNull(Type.Object({ cached_tokens: orNull(Count) })),
});
const LogProbs = Type.Object({
  tokens: Type.Array(Type.String()),
  token_logprobs: Type.Array(Type.Union([Type.Null(), Type.Number()])),
  top_logprobs: Type.Array(Type.Union([Type.Null(), Type.Record(Type.String(), Type.Number())])),
});
export type LogProbs = Static<typeof LogProbs>;
const Choice = Type.Object({
  text: Type.String(),
  token_ids: Type.Array(Count),
  finish_reason: orNull(Type.String()),
  stop_reason: orNull(Type.Union([Type.String(), Type.Integer()])),
  logprobs: Type.Optional(Type.Union([Type.Null(), LogProbs])),
});
/** A reply of either API in one piece, and any event of a stream; the last one has usage and no choice. */
const Reply = Type.Object({
  model: orNull(Type.String()),
  choices: Type.Array(Choice, { maxItems: 1 }),
  usage: orNull(Usage),
});
const isReply = Compile(Reply);

/** What a reply must fit. */
export interface ReplyContext {
  readonly url: URL;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly vocabularySize: number;
  /** The bytes of each id by itself, none of a control token; for probabilities. */
  shownBytes(ids: readonly TokenId[]): Promise<Uint8Array[]>;
}

export interface ReplyEnd {
  readonly ids: readonly TokenId[];
  readonly text: string;
  readonly stop: StopReason;
  readonly cachedTokens: number;
  /** `completion_probabilities` of all ids, where they were asked for. */
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** What marks the end of a stream (vLLM, as OpenAI). */
const DONE = '[DONE]';

/** Takes a reply as it comes, and holds it to what was asked for. Throws `llm_bad_reply`, and what an error event says. */
export class ReplyReader {
  readonly #context: ReplyContext;
  readonly #ids: TokenId[] = [];
  readonly #probabilities: unknown[] = [];
  #text = '';
  #stop: StopReason | undefined;
  #cachedTokens: number | undefined;
  #predictedTokens: number | undefined;

  constructor(context: ReplyContext) {
    this.#context = context;
  }

  /** What a whole reply, or the JSON of an event, adds. */
  async push(value: unknown): Promise<GenerationPart | undefined> {
    const { url, vocabularySize, maxTokens } = this.#context;
    if (!isReply.Check(value)) {
      throw errorOfEvent(url, value) ?? badReply(url, 'something that is not a completion with its ids');
    }
    const { choices, usage } = value;
    if (usage) this.#takeUsage(usage);
    const [choice] = choices;
    if (choice === undefined) return undefined;
    if (this.#stop !== undefined) throw badReply(url, 'a reply that goes on behind its end');
    const ids = choice.token_ids as TokenId[];
    if (ids.some((id) => id >= vocabularySize)) throw badReply(url, 'an id outside its vocabulary');
    appendTokens(this.#ids, ids);
    if (this.#ids.length > maxTokens) throw badReply(url, 'more ids than were asked for');
    this.#text += choice.text;
    this.#stop = this.#stopOf(choice);
    const told = choice.logprobs ? await probabilitiesOf(choice.logprobs, ids, this.#context) : undefined;
    if (told !== undefined) this.#probabilities.push(...told);
    if (ids.length === 0 && choice.text === '') return undefined;
    const fields = told && { completion_probabilities: told };
    return { kind: 'part', text: choice.text, ids, ...(fields && { fields }) };
  }

  /** The JSON of an event; `undefined` for the mark behind the last one. */
  parse(data: string): unknown {
    if (data === DONE) return undefined;
    try {
      return JSON.parse(data);
    } catch {
      // The parser's message quotes the text, which may be a reply.
      throw badReply(this.#context.url, 'an event that is not JSON');
    }
  }

  /** After the last of it. */
  end(): ReplyEnd {
    const { url } = this.#context;
    if (this.#stop === undefined) throw badReply(url, 'a reply without an end');
    if (this.#cachedTokens === undefined) throw badReply(url, 'a reply without a count of its ids and the cached ones');
    if (this.#predictedTokens !== this.#ids.length) throw badReply(url, 'a reply that lacks some of its ids');
    const fields = this.#probabilities.length > 0 ? { completion_probabilities: this.#probabilities } : undefined;
    return { ids: this.#ids, text: this.#text, stop: this.#stop, cachedTokens: this.#cachedTokens, fields };
  }

  #takeUsage({
    prompt_tokens: prompt,
    completion_tokens: predicted,
    prompt_tokens_details: details,
  }: Static<typeof Usage>) {
    const { url, promptTokens } = this.#context;
    if (prompt !== promptTokens) throw badReply(url, 'the reply to another prompt');
    this.#predictedTokens = predicted;
    this.#cachedTokens = Math.min(details?.cached_tokens ?? 0, promptTokens);
  }

  #stopOf({ finish_reason: finish, stop_reason: reason }: Static<typeof Choice>): StopReason | undefined {
    switch (finish) {
      case undefined:
      case null:
        return undefined;
      case 'length':
        return { kind: 'limit' };
      case 'stop':
        return typeof reason === 'string' ? { kind: 'word', word: reason } : { kind: 'end' };
      case 'abort':
      case 'error':
        throw new DiscedgeError(
          'llm_unavailable',
          `vLLM at ${this.#context.url.origin} gave the reply up (${finish}).`,
        );
      default:
        throw badReply(this.#context.url, 'a reply that ended for a reason that is not known');
    }
  }
}
