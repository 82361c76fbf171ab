import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { type ContentPart, type MessageContent, textOf } from '../../domain/record/message-content.ts';
import { NO_PREAMBLE, type Preamble } from '../../domain/record/preamble.ts';
import { beginsWithExtension, type Summary } from '../../domain/record/summary.ts';
import type { Message, RawPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import { summaryBeyond } from '../../domain/session-summaries.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import type { ChatTemplate, TemplateMessage } from '../../llm-service/chat-template.ts';
import { isLlmFailure, type LlmService } from '../../llm-service/llm-service.ts';
import type { ReplyReading } from '../turn/reply-reader.ts';
import { addedMessages } from '../turn/turn.ts';
import { beginningOfLine } from './context-beginning.ts';
import { openingPart, overflowError, SummaryNeeded } from './context-overflow.ts';
import { lastPreamble, textPreamble } from './kept-preamble.ts';
import { KnownCalls } from './known-calls.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import { saidMessages } from './said-messages.ts';
import { summaryRoom } from './summary-request.ts';

/** Context as messages: the whole conversation is rendered and tokenized again each turn (the paper's baseline). */
export function rawMode(llm: LlmService, template: ChatTemplate, reading: ReplyReading): Mode {
  return {
    name: 'raw',

    async build(input: BuildInput): Promise<Prompt> {
      const { request, session, base } = input;
      const before = textPreamble(base && lastPreamble(session.history.answeredLine(base)));
      const preamble = request.preamble ?? before ?? NO_PREAMBLE;
      const { ids, contextStart, summary } = await fit(input, preamble, { llm, template });
      const isOther = JSON.stringify(preamble) !== JSON.stringify(before ?? NO_PREAMBLE);
      const begins = summary?.isNew && { extensions: beginsWithExtension(summary) };
      const kept = { ...(isOther && { preamble }), ...begins };
      const draft: RawPayload = { mode: 'raw', messages: addedMessages(input.request), reply: '' };
      return {
        ids,
        contextStart,
        ...(summary && { summary }),
        rewrittenTokens: 0,
        tools: preamble.tools,
        draft: { payload: draft, ...kept },
        record: async (reply, { parts }) => ({ payload: { ...draft, reply: keptReply(reply.text, parts) }, ...kept }),
        kept: () => {},
        evaluated: () => {},
      };
    },

    async read(turn: Turn) {
      const { messages, reply } = rawPayload(turn);
      const before = textPreamble(turn.record.preamble);
      return {
        messages,
        ...(before && { preamble: before }),
        reply: textOf(reply),
        parts: await partsOf(reply, reading),
        replyIds: [],
        exact: true,
      };
    },

    async readReply(turn: Turn) {
      const content = rawPayload(turn).reply;
      const reply = textOf(content);
      const replyIds = await llm.tokenize(reply, { parseSpecial: false }).catch((error) => {
        // The reply is what was asked for; how many ids it has comes beside it.
        if (isLlmFailure(error)) return [];
        throw error;
      });
      return { reply, parts: await partsOf(content, reading), replyIds, exact: false };
    },
  };
}

/** Plain text unless it calls tools: what a model thought is in its text, for templates that look for it there. */
function keptReply(text: string, parts: readonly ContentPart[]): MessageContent {
  return parts.some(({ type }) => type === 'tool-call') ? parts : text;
}

/** What of reasoning was in control tokens is not in a text. */
async function partsOf(content: MessageContent, reading: ReplyReading): Promise<readonly ContentPart[]> {
  return typeof content === 'string' ? reading.stored({ text: content, ids: [], prompt: [], calls: [] }) : content;
}

interface Fitting {
  readonly ids: TokenId[];
  readonly contextStart: TurnNumber;
  readonly summary?: Prompt['summary'];
}

/** Renders as much of the conversation as the window and the overflow policy allow. */
async function fit(
  input: BuildInput,
  preamble: Preamble,
  { llm, template }: { readonly llm: LlmService; readonly template: ChatTemplate },
): Promise<Fitting> {
  const { request, session, base, replyTokens, beginning } = input;
  const windowTokens = llm.description.contextTokens;
  const turns = base === undefined ? [] : session.history.answeredLine(base);
  const calls = new KnownCalls();
  for (const { record } of turns) calls.addTurn(record);
  const asked = saidMessages(addedMessages(request), new KnownCalls(calls));
  const { contextStart: start, summary } = beginning ?? beginningOfLine(turns);
  const held = summary && { summary: { ...summary, isNew: false } };
  const render = (firstTurn: number, stands = summary) =>
    template.renderWhole([...conversation(turns, firstTurn, calls, stands), ...asked], request.reasoning, preamble);
  const whole = await render(start);
  if (whole.length + replyTokens <= windowTokens) return { ids: whole, contextStart: start, ...held };
  const lengths = { promptTokens: whole.length, replyTokens, windowTokens };
  if (turns.length > 0 && request.overflow === 'error') throw overflowError('context', lengths);
  const summarizes = base !== undefined && request.overflow === 'summarize';
  const made = summarizes ? summaryBeyond(session.history, base, start - 1) : undefined;
  if (made !== undefined) {
    const shorter = { ...input, beginning: { contextStart: (made.through + 1) as TurnNumber, summary: made } };
    const fitting = await fit(shorter, preamble, { llm, template });
    return { ...fitting, summary: { ...(fitting.summary ?? made), isNew: true } };
  }
  const roomTokens = summarizes ? await summaryRoom(llm) : 0;
  let high = (turns.at(-1)?.record.turn ?? 0) + 1;
  let best = await render(high, summarizes ? undefined : summary);
  if (best.length + roomTokens + replyTokens > windowTokens) {
    const part = base === undefined ? openingPart(request) : 'message';
    throw overflowError(part, { promptTokens: best.length + roomTokens, replyTokens, windowTokens });
  }
  const target = Math.min(windowTokens - replyTokens, Math.floor(windowTokens / 2)) - roomTokens;
  let low = start + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const candidate = await render(middle, summarizes ? undefined : summary);
    if (candidate.length <= target) {
      high = middle;
      best = candidate;
    } else {
      low = middle + 1;
    }
  }
  const upTo = summarizes ? turns.findLast(({ record }) => record.turn >= start && record.turn < high) : undefined;
  if (upTo !== undefined) throw new SummaryNeeded(upTo, lengths);
  if (summarizes) throw overflowError('message', lengths);
  return { ids: best, contextStart: high as TurnNumber, ...held };
}

/** Messages from `firstTurn` on; before them what stands for others, and a system message of turn 1 whatever is dropped. */
function conversation(
  turns: readonly Turn[],
  firstTurn: number,
  calls: KnownCalls,
  summary: Summary | undefined,
): TemplateMessage[] {
  const said = (messages: readonly Message[]) => saidMessages(messages, calls);
  const before = turns.filter(({ record }) => record.turn < firstTurn);
  const system = before.flatMap((turn) => rawPayload(turn).messages.filter(({ role }) => role === 'system'));
  const standing = summary?.payload.mode === 'raw' ? exchange(summary.payload) : [];
  const left = turns.slice(before.length).flatMap((turn) => exchange(rawPayload(turn)));
  return [...said(system), ...said(standing), ...said(left)];
}

function exchange({ messages, reply }: RawPayload): Message[] {
  return [...messages, { role: 'assistant', content: reply }];
}

function rawPayload(turn: Turn): RawPayload {
  if (turn.record.payload.mode !== 'raw')
    throw new DiscedgeError('mode_mismatch', 'this session was not opened in mode "raw"');
  return turn.record.payload;
}
