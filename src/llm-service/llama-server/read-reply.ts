import type { StopReason } from '../../domain/record/turn-record.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type {
  GenerationEnd,
  GenerationPart,
  GenerationProgress,
  GenerationRequest,
  GenerationUsage,
} from '../llm-service.ts';
import { type CompletionChunk, type FinalReply, readCompletion, usageOf } from './completion-reply.ts';
import type { ServerFacts } from './describe-server.ts';
import { ReplyIds } from './reply-ids.ts';
import { badReply, servesAnotherModel } from './server-errors.ts';

/** What a reply must fit. */
export interface ReplyContext {
  readonly url: URL;
  readonly facts: ServerFacts;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly tell: GenerationRequest['tell'];
  readonly signal: AbortSignal;
}

type Fields = Readonly<Record<string, unknown>>;

export interface Reply {
  readonly end: GenerationEnd;
  /** The slot that worked on it. */
  readonly slot: number;
}

/** Reads a reply in one piece, which names every id. Throws `llm_bad_reply`, or `llm_unavailable` for another model's. */
export function readWholeReply(body: unknown, context: ReplyContext): Reply {
  const { text, ids, final, predicted, fields } = readCompletion(body, readerOf(context));
  if (final === undefined) throw badReply(context.url, 'half a completion');
  if (ids.length !== predicted) {
    throw badReply(
      context.url,
      `${ids.length} ids for the ${predicted} it sampled; it may be too old for return_tokens`,
    );
  }
  return endOf(final, { text, ids, exact: true, fields }, context);
}

/** Reads a streamed reply, of which events come in batches, and returns its end. Throws as `readWholeReply` does. */
export async function* readStreamedReply(
  batches: AsyncIterable<readonly string[]>,
  context: ReplyContext,
): AsyncGenerator<GenerationPart | GenerationProgress, Reply> {
  const { url, facts, signal, tell } = context;
  const { tokenizer, eos, description } = facts;
  const reader = readerOf(context);
  const ids = new ReplyIds({
    tokenize: (text) => tokenizer.tokenize(text, { parseSpecial: false }, signal),
    endOfGeneration: description.endOfGeneration,
    eos,
  });
  let text = '';
  let given = 0;
  let waiting = '';
  /** What has come since the part before, if anything has. */
  const part = ({ fields, usage }: Partial<CompletionChunk> = {}): GenerationPart | undefined => {
    if (waiting === '' && ids.ids.length === given && fields === undefined) return undefined;
    const settled: GenerationPart = { kind: 'part', text: waiting, ids: ids.ids.slice(given) };
    given = ids.ids.length;
    text += waiting;
    waiting = '';
    return usage === undefined && fields === undefined
      ? settled
      : { ...settled, ...(usage && { usage }), ...(fields && { fields }) };
  };

  for await (const batch of batches) {
    for (const data of batch) {
      const chunk = readCompletion(parseEvent(data, url), reader);
      if (chunk.predicted > context.maxTokens) throw badReply(url, 'more ids than were asked for');
      const { final, progress } = chunk;
      if (progress !== undefined) {
        if (tell?.progress) yield progressOf(progress);
        continue;
      }
      if (final === undefined) {
        if (!(await ids.push(chunk))) throw badReply(url, 'a stream whose counts contradict each other');
        waiting += chunk.text;
        // What is told of a part is told of it alone; other parts that came together go on together.
        const told = chunk.usage === undefined && chunk.fields === undefined ? undefined : part(chunk);
        if (told !== undefined) yield told;
        continue;
      }
      const { stop_type: stop, stopping_word: stoppingWord } = final;
      const rest = await ids.end({ predicted: chunk.predicted, stop, stoppingWord });
      if (rest === undefined) throw badReply(url, 'a stream whose counts contradict each other');
      const usage = tell?.usage ? usageOf(final.timings, final.tokens_predicted) : undefined;
      waiting += chunk.text + (await tokenizer.detokenize(rest.unshown, signal));
      const last = part({ usage });
      if (last !== undefined) yield last;
      return endOf(final, { text, ids: ids.ids, exact: ids.isExact, fields: chunk.fields }, context);
    }
    const more = part();
    if (more !== undefined) yield more;
  }
  throw badReply(url, 'a stream without an end');
}

/** What is left of a reply whose prompt alone was wanted. */
export async function* onlyPrompt(
  reply: AsyncGenerator<GenerationPart | GenerationProgress, Reply>,
): AsyncGenerator<GenerationProgress, Reply> {
  for (;;) {
    const { done, value } = await reply.next();
    if (done) {
      const { end, slot } = value;
      const usage: GenerationUsage = { ...end.usage, predictedTokens: 0, predictedMs: 0 };
      return { slot, end: { ...end, ids: [], text: '', exact: true, stop: { kind: 'limit' }, usage } };
    }
    if (value.kind === 'progress') yield value;
  }
}

interface WholeText {
  readonly text: string;
  readonly ids: TokenSequence;
  readonly exact: boolean;
  readonly fields: Fields | undefined;
}

function endOf(final: FinalReply, { text, ids, exact, fields }: WholeText, context: ReplyContext): Reply {
  const { url, facts, promptTokens } = context;
  if (final.model !== undefined && final.model !== facts.servedModel) throw servesAnotherModel(url);
  const isShortened = final.truncated && promptTokens + final.tokens_predicted < facts.description.contextTokens;
  if (final.tokens_evaluated !== promptTokens || isShortened) {
    throw badReply(url, 'the reply to a prompt that it had shortened');
  }
  const { id_slot: slot, generation_settings: settings } = final;
  return {
    slot,
    end: {
      kind: 'end',
      text,
      ids,
      exact,
      stop: stopOf(final),
      usage: usageOf(final.timings, final.tokens_predicted),
      slot,
      ...(settings && { settings }),
      ...(fields && { fields }),
    },
  };
}

function stopOf({ stop_type: type, stopping_word: word }: FinalReply): StopReason {
  switch (type) {
    case 'eos':
      return { kind: 'end' };
    case 'limit':
      return { kind: 'limit' };
    case 'word':
      return { kind: 'word', word };
    default:
      return type satisfies never;
  }
}

function progressOf(progress: NonNullable<CompletionChunk['progress']>): GenerationProgress {
  return {
    kind: 'progress',
    promptTokens: progress.total,
    cachedTokens: progress.cache,
    processedTokens: progress.processed,
    elapsedMs: progress.time_ms,
  };
}

function readerOf({ url, facts }: ReplyContext) {
  return { url, vocabularySize: facts.description.vocabularySize };
}

function parseEvent(data: string, url: URL): unknown {
  try {
    return JSON.parse(data);
  } catch {
    // The parser's message quotes the text, which may be a reply.
    throw badReply(url, 'an event that is not JSON');
  }
}
