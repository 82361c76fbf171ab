import { DiscedgeError } from '../../domain/errors.ts';
import type { TurnNumber } from '../../domain/identifiers.ts';
import { type ContentPart, type MessageContent, textOf } from '../../domain/record/message-content.ts';
import type { RawPayload, TextMessage } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import type { TokenId } from '../../domain/token-sequence.ts';
import type { ChatTemplate } from '../../llm-service/chat-template.ts';
import { isLlmFailure, type LlmService } from '../../llm-service/llm-service.ts';
import { textParts } from '../turn/reply-parts.ts';
import { addedMessages } from '../turn/turn.ts';
import { openingPart, overflowError } from './context-overflow.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import { textContent, textMessages } from './text-only.ts';

/** Context as messages: the whole conversation is rendered and tokenized again each turn (the paper's baseline). */
export function rawMode(llm: LlmService, template: ChatTemplate): Mode {
  return {
    name: 'raw',

    async build(input: BuildInput): Promise<Prompt> {
      const { ids, contextStart } = await fit(input, llm.description.contextTokens, template);
      const draft: RawPayload = { mode: 'raw', messages: addedMessages(input.request), reply: '' };
      return {
        ids,
        contextStart,
        rewrittenTokens: 0,
        draft: { payload: draft },
        record: async (reply) => ({ payload: { ...draft, reply: reply.text } }),
        kept: () => {},
        evaluated: () => {},
      };
    },

    async read(turn: Turn) {
      const { messages, reply } = rawPayload(turn);
      return { messages, reply: textOf(reply), parts: partsOf(reply), replyIds: [], exact: true };
    },

    async readReply(turn: Turn) {
      const reply = textContent(rawPayload(turn).reply);
      const replyIds = await llm.tokenize(reply, { parseSpecial: false }).catch((error) => {
        // The reply is what was asked for; how many ids it has comes beside it.
        if (isLlmFailure(error)) return [];
        throw error;
      });
      return { reply, parts: textParts(reply), replyIds, exact: false };
    },
  };
}

function partsOf(content: MessageContent): readonly ContentPart[] {
  return typeof content === 'string' ? textParts(content) : content;
}

/** Renders as much of the conversation as the window and the overflow policy allow. */
async function fit(
  input: BuildInput,
  windowTokens: number,
  template: ChatTemplate,
): Promise<{ ids: TokenId[]; contextStart: TurnNumber }> {
  const { request, session, base, replyTokens } = input;
  const turns = base === undefined ? [] : session.history.answeredLine(base);
  const asked = textMessages(addedMessages(request));
  const start = base?.record.contextStart ?? 1;
  const render = (firstTurn: number) =>
    template.renderWhole([...conversation(turns, firstTurn), ...asked], request.reasoning);
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
function conversation(turns: readonly Turn[], firstTurn: number): TextMessage[] {
  const messages: TextMessage[] = [];
  for (const turn of turns) {
    const { messages: own, reply } = rawPayload(turn);
    if (turn.record.turn >= firstTurn)
      messages.push(...textMessages(own), { role: 'assistant', content: textContent(reply) });
    else messages.push(...textMessages(own.filter(({ role }) => role === 'system')));
  }
  return messages;
}

function rawPayload(turn: Turn): RawPayload {
  if (turn.record.payload.mode !== 'raw')
    throw new DiscedgeError('mode_mismatch', 'this session was not opened in mode "raw"');
  return turn.record.payload;
}
