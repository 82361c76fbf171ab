import { turnsToDrop } from '../../domain/context-window.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { Message, StopReason, TokenizedPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { ChatTemplate, TurnSegment } from '../../llm-service/chat-template.ts';
import type { LlmService } from '../../llm-service/llm-service.ts';
import { addedMessages } from '../turn/turn.ts';
import { openingPart, overflowError } from './context-overflow.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import { textMessages } from './text-only.ts';
import { TokenContext, tokenizedPayload } from './token-context.ts';

/** Context as exact ids: the prompt is the context's ids followed by the new turn's, so the KV prefix always holds. */
export function tokenizedMode(llm: LlmService, template: ChatTemplate): Mode {
  return {
    name: 'tokenized',

    async build(input: BuildInput): Promise<Prompt> {
      const { request, session, base } = input;
      const messages = textMessages(addedMessages(request));
      const context = takeContext(input);
      const segment =
        base === undefined
          ? await template.openSession(messages)
          : await template.continueSession(context.lastReply, messages);
      makeRoom(context, segment, input, { windowTokens: llm.description.contextTokens, template });
      context.offer(segment);
      const draft: TokenizedPayload = {
        mode: 'tokenized',
        promptIds: segment.ids,
        replyIds: [],
        exact: true,
        leadLength: segment.leadLength,
        spans: segment.spans,
        replyText: undefined,
      };
      return {
        ids: context.ids,
        contextStart: context.firstTurn,
        draft,
        async payload(reply) {
          // Where the service cannot say now what the ids show, the text is kept beside them: the turn is not lost for it.
          const shown = await shownText(llm, reply.ids, reply.stop).catch(() => undefined);
          const replyText = shown === reply.text ? undefined : reply.text;
          return { ...draft, replyIds: reply.ids, exact: reply.exact, replyText };
        },
        kept(sealed) {
          context.commit(sealed);
          session.tokens = context;
        },
      };
    },

    async read(turn: Turn) {
      const payload = tokenizedPayload(turn);
      const messages: Message[] = [];
      for (const { role, start, length } of payload.spans) {
        messages.push({ role, content: await llm.detokenize(payload.promptIds.slice(start, start + length)) });
      }
      return { messages, ...(await this.readReply(turn)) };
    },

    async readReply(turn: Turn) {
      const { replyText, replyIds, exact } = tokenizedPayload(turn);
      return { reply: replyText ?? (await shownText(llm, replyIds, turn.record.stop)), replyIds, exact };
    },
  };
}

/** The folded context that ends in `base`, out of the session for as long as the turn works on it. */
function takeContext({ session, base }: BuildInput): TokenContext {
  const held = session.tokens;
  session.tokens = undefined;
  if (base !== undefined && held?.tip === base.hash) return held;
  return TokenContext.of(base === undefined ? [] : session.history.line(base));
}

/** Drops what the overflow policy allows until the segment and a reply fit. */
function makeRoom(
  context: TokenContext,
  segment: TurnSegment,
  { session, base, request, replyTokens }: BuildInput,
  { windowTokens, template }: { windowTokens: number; template: ChatTemplate },
): void {
  const neededTokens = context.ids.length + segment.ids.length + replyTokens;
  if (neededTokens <= windowTokens) return;
  if (base === undefined) throw overflowError(openingPart(request), { neededTokens, windowTokens });
  if (request.overflow === 'error') throw overflowError('context', { neededTokens, windowTokens });
  if (!template.preambleIsolated && opensWithSystem(session.history.line(base)[0])) {
    throw new DiscedgeError(
      'context_overflow',
      "drop-oldest cannot keep the system message: this model's template puts it inside the first user message",
      { param: 'overflow' },
    );
  }
  const preambleTokens = context.preambleTokens;
  const newTokens = segment.ids.length;
  const count = turnsToDrop({
    windowTokens,
    replyTokens,
    preambleTokens,
    turnTokens: context.turnSizes(),
    newTokens,
  });
  if (count === undefined) {
    throw overflowError('message', { neededTokens: preambleTokens + newTokens + replyTokens, windowTokens });
  }
  context.drop(count);
}

function opensWithSystem(first: Turn | undefined): boolean {
  return first !== undefined && tokenizedPayload(first).spans.some(({ role }) => role === 'system');
}

/** The text a client sees for reply ids: without control tokens, the stop word, and a character cut off by the limit. */
async function shownText(llm: LlmService, ids: TokenSequence, stop: StopReason): Promise<string> {
  const text = await llm.detokenize(ids);
  if (stop.kind === 'word') {
    const at = text.indexOf(stop.word);
    return at === -1 ? text : text.slice(0, at);
  }
  return stop.kind === 'limit' ? text.replace(/\ufffd+$/, '') : text;
}
