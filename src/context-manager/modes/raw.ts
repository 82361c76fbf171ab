import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { type ContentPart, type MessageContent, textOf } from '../../domain/record/message-content.ts';
import { NO_PREAMBLE, type Preamble } from '../../domain/record/preamble.ts';
import type { RawPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import type { ChatTemplate, TemplateMessage } from '../../llm-service/chat-template.ts';
import { isLlmFailure, type LlmService } from '../../llm-service/llm-service.ts';
import type { ReplyReading } from '../turn/reply-reader.ts';
import { addedMessages } from '../turn/turn.ts';
import { openingPart, overflowError } from './context-overflow.ts';
import { lastPreamble, textPreamble } from './kept-preamble.ts';
import { KnownCalls } from './known-calls.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import { saidMessages } from './said-messages.ts';

/** Context as messages: the whole conversation is rendered and tokenized again each turn (the paper's baseline). */
export function rawMode(llm: LlmService, template: ChatTemplate, reading: ReplyReading): Mode {
  return {
    name: 'raw',

    async build(input: BuildInput): Promise<Prompt> {
      const { request, session, base } = input;
      const before = textPreamble(base && lastPreamble(session.history.answeredLine(base)));
      const preamble = request.preamble ?? before ?? NO_PREAMBLE;
      const { ids, contextStart } = await fit(input, preamble, {
        windowTokens: llm.description.contextTokens,
        template,
      });
      const isOther = JSON.stringify(preamble) !== JSON.stringify(before ?? NO_PREAMBLE);
      const kept = isOther && { preamble };
      const draft: RawPayload = { mode: 'raw', messages: addedMessages(input.request), reply: '' };
      return {
        ids,
        contextStart,
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

/** Renders as much of the conversation as the window and the overflow policy allow. */
async function fit(
  input: BuildInput,
  preamble: Preamble,
  { windowTokens, template }: { readonly windowTokens: number; readonly template: ChatTemplate },
): Promise<{ ids: TokenId[]; contextStart: TurnNumber }> {
  const { request, session, base, replyTokens } = input;
  const turns = base === undefined ? [] : session.history.answeredLine(base);
  const calls = new KnownCalls();
  for (const { record } of turns) calls.addTurn(record);
  const asked = saidMessages(addedMessages(request), new KnownCalls(calls));
  const start = base?.record.contextStart ?? 1;
  const render = (firstTurn: number) =>
    template.renderWhole([...conversation(turns, firstTurn, calls), ...asked], request.reasoning, preamble);
  const whole = await render(start);
  if (whole.length + replyTokens <= windowTokens) return { ids: whole, contextStart: start as TurnNumber };
  if (turns.length > 0 && request.overflow === 'error') {
    throw overflowError('context', { promptTokens: whole.length, replyTokens, windowTokens });
  }
  let high = (turns.at(-1)?.record.turn ?? 0) + 1;
  let best = await render(high);
  if (best.length + replyTokens > windowTokens) {
    const part = base === undefined ? openingPart(request) : 'message';
    throw overflowError(part, { promptTokens: best.length, replyTokens, windowTokens });
  }
  const target = Math.min(windowTokens - replyTokens, Math.floor(windowTokens / 2));
  let low = start + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const candidate = await render(middle);
    if (candidate.length <= target) {
      high = middle;
      best = candidate;
    } else {
      low = middle + 1;
    }
  }
  return { ids: best, contextStart: high as TurnNumber };
}

/** Messages from `firstTurn` on; a system message of turn 1 stays whatever is dropped. */
function conversation(turns: readonly Turn[], firstTurn: number, calls: KnownCalls): TemplateMessage[] {
  const messages: TemplateMessage[] = [];
  for (const turn of turns) {
    const { messages: own, reply } = rawPayload(turn);
    if (turn.record.turn >= firstTurn)
      messages.push(...saidMessages([...own, { role: 'assistant', content: reply }], calls));
    else
      messages.push(
        ...saidMessages(
          own.filter(({ role }) => role === 'system'),
          calls,
        ),
      );
  }
  return messages;
}

function rawPayload(turn: Turn): RawPayload {
  if (turn.record.payload.mode !== 'raw')
    throw new DiscedgeError('mode_mismatch', 'this session was not opened in mode "raw"');
  return turn.record.payload;
}
