import type { TurnNumber } from '../../domain/identifiers.ts';
import { joinedExtensions } from '../../domain/record/extensions.ts';
import { type LayerStamp, layerStampsOf } from '../../domain/record/layer-stamps.ts';
import { type ContentPart, type MessageContent, textOf } from '../../domain/record/message-content.ts';
import { NO_PREAMBLE } from '../../domain/record/preamble.ts';
import { beginsWithExtension } from '../../domain/record/summary.ts';
import type { RawPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session/session-history.ts';
import { beginningAt, beginningBehind, summaryBeyond } from '../../domain/session/session-summaries.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import { type ChatTemplate, EMPTY_PREAMBLE } from '../../llm-service/chat-template.ts';
import { isLlmFailure, type LlmService } from '../../llm-service/llm-service.ts';
import { LayerPieces } from '../layers/layer-pieces.ts';
import { requireRoomForLayers } from '../layers/layer-room.ts';
import { sameStamps, toldLayers, unchangedLayers } from '../layers/told-layers.ts';
import type { ReplyReading } from '../turn/reply/reply-reader.ts';
import { addedMessages } from '../turn/turn.ts';
import { openingPart, overflowError, SummaryNeeded } from './context-overflow.ts';
import { lastPreamble, textPreamble } from './kept-preamble.ts';
import { layerExtension } from './layered-context.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import { RawConversation, rawPayload } from './raw-conversation.ts';
import { summaryRoom } from './summary-request.ts';

/** Context as messages: the whole conversation is rendered and tokenized again each turn (the paper's baseline). */
export function rawMode(llm: LlmService, template: ChatTemplate, reading: ReplyReading): Mode {
  const pieces = new LayerPieces(template);
  return {
    name: 'raw',

    async build(input: BuildInput): Promise<Prompt> {
      const { request, session, base, layers } = input;
      const line = base === undefined ? [] : session.history.answeredLine(base);
      const before = textPreamble(lastPreamble(line));
      const preamble = request.preamble ?? before ?? NO_PREAMBLE;
      const conversation = new RawConversation(line, request, { template, preamble });
      const layerIds = layers.length === 0 ? undefined : await pieces.ids(layers, EMPTY_PREAMBLE.tools);
      if (layerIds !== undefined) requireRoomForLayers(layerIds, llm.description.contextTokens);
      const { ids, contextStart, summary } = await fit(input, conversation, llm);
      const had = lastLayers(line);
      const isSame = base === undefined || sameStamps(had, layers);
      const unchanged = layers.slice(0, unchangedLayers(had, layers));
      const rewrittenTokens = isSame
        ? 0
        : await conversation.behind(ids, { firstTurn: contextStart, summary, unchanged });
      const isOther = JSON.stringify(preamble) !== JSON.stringify(before ?? NO_PREAMBLE);
      const extensions = joinedExtensions(
        summary?.isNew ? beginsWithExtension(summary) : undefined,
        layerExtension(had, layers),
      );
      const kept = { ...(isOther && { preamble }), ...(extensions && { extensions }) };
      const draft: RawPayload = { mode: 'raw', messages: addedMessages(input.request), reply: '' };
      return {
        ids,
        contextStart,
        ...(summary && { summary }),
        rewrittenTokens: 0,
        layers: toldLayers(base && had, layers, { ids: layerIds, rewrittenTokens }),
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
async function fit(input: BuildInput, conversation: RawConversation, llm: LlmService): Promise<Fitting> {
  const { request, session, base, replyTokens, beginning, layers } = input;
  const windowTokens = llm.description.contextTokens;
  const { turns } = conversation;
  const begins = beginning ?? beginningAt(session.history, base);
  const { contextStart: start, summary } = begins;
  const held = summary && { summary: { ...summary, isNew: false } };
  const whole = await conversation.render({ firstTurn: start, summary, layers });
  if (whole.length + replyTokens <= windowTokens) return { ids: whole, contextStart: start, ...held };
  const lengths = { promptTokens: whole.length, replyTokens, windowTokens };
  if (turns.length > 0 && request.overflow === 'error') throw overflowError('context', lengths);
  const summarizes = base !== undefined && request.overflow === 'summarize';
  const made = summarizes ? summaryBeyond(session.history, base, begins) : undefined;
  if (made !== undefined) {
    const shorter = { ...input, beginning: beginningBehind(made) };
    const fitting = await fit(shorter, conversation, llm);
    return { ...fitting, summary: { ...(fitting.summary ?? made), isNew: true } };
  }
  const roomTokens = summarizes ? await summaryRoom(llm) : 0;
  const left = { summary: summarizes ? undefined : summary, layers };
  let high = (turns.at(-1)?.record.turn ?? 0) + 1;
  let best = await conversation.render({ firstTurn: high, ...left });
  if (best.length + roomTokens + replyTokens > windowTokens) {
    const part = base === undefined ? openingPart(request) : 'message';
    throw overflowError(part, { promptTokens: best.length + roomTokens, replyTokens, windowTokens });
  }
  const target = Math.min(windowTokens - replyTokens, Math.floor(windowTokens / 2)) - roomTokens;
  let low = start + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const candidate = await conversation.render({ firstTurn: middle, ...left });
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

/** Of a line's last turn. */
function lastLayers(line: readonly Turn[]): readonly LayerStamp[] {
  const said = line.findLast(({ record }) => layerStampsOf(record) !== undefined);
  return (said && layerStampsOf(said.record)) ?? [];
}
