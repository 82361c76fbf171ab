import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { joinedExtensions } from '../../domain/record/extensions.ts';
import type { IdMark } from '../../domain/record/message-content.ts';
import { replyEndExtension } from '../../domain/record/reply-end.ts';
import { beginsWithExtension } from '../../domain/record/summary.ts';
import type { Message, TokenizedPayload } from '../../domain/record/turn-record.ts';
import { turnsToDrop } from '../../domain/session/context-window.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { beginningBehind, summaryBeyond } from '../../domain/session/session-summaries.ts';
import {
  type ChatTemplate,
  type Continuation,
  type PromptPreamble,
  samePreamble,
  type TurnSegment,
} from '../../llm-service/chat-template.ts';
import type { Vocabulary } from '../../llm-service/llm-service.ts';
import { LayerPieces } from '../layers/layer-pieces.ts';
import { requireRoomForLayers } from '../layers/layer-room.ts';
import type { ReplyReading } from '../turn/reply/reply-reader.ts';
import { addedMessages, type TurnRequest } from '../turn/turn.ts';
import type { Beginning } from './context-beginning.ts';
import { openingPart, overflowError, SummaryNeeded } from './context-overflow.ts';
import { KnownCalls, markedCalls } from './known-calls.ts';
import { layerExtension, settleLayers } from './layered-context.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import { readMessage, readPreamble } from './read-turn.ts';
import { type SaidMessage, saidMessages } from './said-messages.ts';
import { summaryRoom } from './summary-request.ts';
import { TokenContext } from './token-context.ts';
import { shown, writtenReply } from './written-reply.ts';
import { tokenizedPayload } from './written-turn.ts';

/** Context as exact ids: the prompt is the context's ids followed by the new turn's, so the KV prefix holds as far as the template lets it. */
export function tokenizedMode(llm: Vocabulary, template: ChatTemplate, reading: ReplyReading): Mode {
  const parts: Parts = { llm, template, pieces: new LayerPieces(template) };
  return {
    name: 'tokenized',

    async build(input: BuildInput): Promise<Prompt> {
      const { session } = input;
      const first = await offerTo(await takeContext(input, template), input, parts);
      const offered = await makeRoom(first, input, parts);
      const { context, messages, segment, recorded, before, preamble, rewrittenTokens, layers, summary } = offered;
      context.offer(segment);
      const draft: TokenizedPayload = {
        mode: 'tokenized',
        // Copies are as long as what is in them; what was pushed to has room for half as much again.
        promptIds: recorded.ids.slice(),
        replyIds: [],
        exact: true,
        leadLength: recorded.leadLength,
        spans: recorded.spans,
        replyText: undefined,
      };
      const own = promptMarks(recorded, messages);
      const { definitions } = preamble.tools;
      const begins = joinedExtensions(
        summary?.isNew ? beginsWithExtension(summary) : undefined,
        layerExtension(context.layersRead, input.layers),
      );
      const kept = {
        ...(!samePreamble(before, preamble) && {
          preamble: { instructions: preamble.instructions, tools: definitions },
        }),
        ...(begins && { extensions: begins }),
      };
      return {
        tools: definitions,
        ids: context.ids,
        contextStart: context.firstTurn,
        ...(summary && { summary }),
        rewrittenTokens,
        layers,
        draft: { payload: { ...draft, ...(own.length > 0 && { marks: own }) }, ...kept },
        async record(reply, read) {
          const { marks: thinking, end, replyText } = await writtenReply(reply, { llm, template });
          const marks = [...own, ...thinking, ...read.calls];
          const extensions = joinedExtensions(begins, replyEndExtension(end));
          return {
            payload: {
              ...draft,
              replyIds: reply.ids.slice(),
              exact: reply.exact,
              replyText,
              ...(marks.length > 0 && { marks }),
            },
            ...kept,
            ...(extensions !== undefined && { extensions }),
          };
        },
        kept(sealed) {
          context.commit(sealed);
          session.tokens = context;
        },
        evaluated() {
          if (context.withdraw() && context === first.context) session.tokens = context;
        },
      };
    },

    async read(turn: Turn) {
      const payload = tokenizedPayload(turn);
      const messages: Message[] = [];
      for (const span of payload.spans) messages.push(await readMessage(payload, span, { llm, reading }));
      const { preamble } = turn.record;
      const before = preamble && { preamble: await readPreamble(preamble, llm) };
      return { messages, ...before, ...(await this.readReply(turn)) };
    },

    async readReply(turn: Turn) {
      const { replyText, promptIds, replyIds, exact, marks } = tokenizedPayload(turn);
      const reply = replyText ?? shown(await llm.detokenize(replyIds), turn.record);
      const stored = { text: reply, ids: replyIds, prompt: promptIds, calls: markedCalls(marks, 'reply') };
      return { reply, parts: await reading.stored(stored), replyIds, exact };
    },
  };
}

/** What the contents of new messages are marked as, message for message. */
function promptMarks({ spans, saidLengths }: TurnSegment, messages: readonly SaidMessage[]): IdMark[] {
  return spans.flatMap(({ start, length }, index) =>
    (messages[index]?.marks ?? []).map((part) => {
      const said = saidLengths[index] ?? 0;
      return { segment: 'prompt' as const, start: start + said, length: length - said, part };
    }),
  );
}

/** The folded context that ends in `base`, out of the session for as long as the turn works on it. */
async function takeContext(
  { session, base, request, beginning }: BuildInput,
  template: ChatTemplate,
): Promise<TokenContext> {
  const held = session.tokens;
  session.tokens = undefined;
  const isHeld = base !== undefined && held?.tip === base.hash && held.policy === request.reasoning;
  if (isHeld && beginning === undefined) return held;
  return TokenContext.of(
    base === undefined ? [] : session.history.answeredLine(base),
    template,
    request.reasoning,
    beginning,
  );
}

interface Parts {
  readonly llm: Vocabulary;
  readonly template: ChatTemplate;
  readonly pieces: LayerPieces;
}

/** A context with its turns as they stand under the next one, and what that one adds. */
interface Offered {
  readonly context: TokenContext;
  readonly messages: readonly SaidMessage[];
  readonly segment: TurnSegment;
  /** The same as a record keeps it: composed without layers, it reads the same at nodes with others. */
  readonly recorded: TurnSegment;
  /** What stood before the conversation, and what does now, beside layers. */
  readonly before: PromptPreamble;
  readonly preamble: PromptPreamble;
  readonly rewrittenTokens: number;
  readonly layers: Prompt['layers'];
  readonly summary?: Prompt['summary'];
}

async function offerTo(
  context: TokenContext,
  { request, base, layers }: BuildInput,
  { llm, template, pieces }: Parts,
): Promise<Offered> {
  const messages = saidMessages(addedMessages(request), new KnownCalls(context.calls));
  const { conversation, summary } = context;
  const { layers: standing, ...before } = conversation.preamble;
  const preamble = request.preamble === undefined ? before : await template.preamble(request.preamble);
  const under: PromptPreamble = layers.length === 0 ? preamble : await pieces.under(layers, preamble);
  if (under.layers !== undefined) requireRoomForLayers(under.layers, llm.description.contextTokens);
  const compose = async (had: PromptPreamble, now: PromptPreamble): Promise<Continuation> =>
    base === undefined
      ? { changes: [], segment: await template.openSession(messages, now) }
      : template.continueSession({ ...conversation, preamble: had }, messages, request.reasoning, now);
  const composed = await compose(conversation.preamble, under);
  const isPlain = under.layers === undefined && standing === undefined;
  const recorded = isPlain ? composed : await compose(before, preamble);
  return {
    context,
    messages,
    segment: composed.segment,
    recorded: recorded.segment,
    before,
    preamble,
    ...settleLayers(context, { composed, under }, { recorded, preamble, layers, isFirst: base === undefined }),
    ...(summary && { summary: { ...summary, isNew: false } }),
  };
}

/** What the overflow policy allows is left out, or a summary stands for it, until the segment and a reply fit. */
async function makeRoom(offered: Offered, input: BuildInput, parts: Parts): Promise<Offered> {
  const { session, base, request, replyTokens } = input;
  const { context, segment } = offered;
  const { llm, template } = parts;
  const windowTokens = llm.description.contextTokens;
  const newTokens = segment.ids.length;
  const promptTokens = context.ids.length + newTokens;
  if (promptTokens + replyTokens <= windowTokens) return offered;
  const lengths = { promptTokens, replyTokens, windowTokens };
  if (base === undefined) throw overflowError(openingPart(request), lengths);
  if (request.overflow === 'error') throw overflowError('context', lengths);
  const line = session.history.answeredLine(base);
  const isSaid = input.layers.length > 0 || opensWithSystem(line[0]);
  if (!template.keepsSystem && isSaid) throw systemLost(request.overflow);
  const beginAs = async (beginning: Beginning) =>
    offerTo(await TokenContext.of(line, template, request.reasoning, beginning), input, parts);
  const summarizes = request.overflow === 'summarize';
  const begins = { contextStart: context.firstTurn, summary: context.summary };
  const made = summarizes ? summaryBeyond(session.history, base, begins) : undefined;
  if (made !== undefined) {
    const shorter = await beginAs(beginningBehind(made));
    return makeRoom({ ...shorter, before: offered.before, summary: { ...made, isNew: true } }, input, parts);
  }
  // Another summary takes the place of the one that stands.
  const preambleTokens = summarizes ? context.headTokens + (await summaryRoom(llm)) : context.preambleTokens;
  const plan = { windowTokens, replyTokens, preambleTokens, turnTokens: context.turnSizes(), newTokens };
  const count = turnsToDrop(plan);
  if (count === undefined) throw overflowError('message', { ...lengths, promptTokens: preambleTokens + newTokens });
  const turns = line.filter(({ record }) => record.turn >= context.firstTurn);
  if (summarizes) throw new SummaryNeeded(turns[count - 1] as Turn, lengths);
  if (context.summary !== undefined) {
    const contextStart = turns[count]?.record.turn ?? ((base.record.turn + 1) as TurnNumber);
    return { ...(await beginAs({ contextStart, summary: context.summary })), before: offered.before };
  }
  const { length: lengthBefore } = context.ids;
  context.drop(count, template);
  return { ...offered, ...toldOfRest(offered, lengthBefore) };
}

/** How much is evaluated again of a context that has lost its oldest turns: no more than what is left of it. */
function toldOfRest(
  { context, rewrittenTokens, layers }: Offered,
  lengthBefore: number,
): Pick<Offered, 'rewrittenTokens' | 'layers'> {
  const { length } = context.ids;
  const layersFrom = lengthBefore - (layers?.rewrittenTokens ?? 0);
  return {
    rewrittenTokens: Math.min(rewrittenTokens, length - context.preambleTokens),
    layers: layers && { ...layers, rewrittenTokens: Math.max(0, length - layersFrom) },
  };
}

function systemLost(overflow: TurnRequest['overflow']): DiscedgeError {
  return new DiscedgeError(
    'context_overflow',
    `${overflow} cannot keep the system message: this model's template puts it inside the first user message`,
    { param: 'overflow' },
  );
}

function opensWithSystem(first: Turn | undefined): boolean {
  return first !== undefined && tokenizedPayload(first).spans.some(({ role }) => role === 'system');
}
