import { turnsToDrop } from '../domain/context-window.ts';
import { DiscedgeError } from '../domain/errors.ts';
import type { Turn } from '../domain/session-history.ts';
import type { TokenSequence } from '../domain/token-sequence.ts';
import type { Message, StopReason, TokenizedPayload } from '../domain/turn-record.ts';
import type { ChatTemplate, TurnSegment } from '../llm-service/chat-template.ts';
import type { LlmService } from '../llm-service/llm-service.ts';
import { overflowError } from './context-overflow.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import type { CachedSession } from './session-cache.ts';
import { TokenContext } from './token-context.ts';

/** Context as exact ids: the prompt is the context's ids followed by the new turn's, so the KV prefix always holds. */
export function tokenizedMode(llm: LlmService, template: ChatTemplate): Mode {
  return {
    name: 'tokenized',

    async build(input: BuildInput): Promise<Prompt> {
      if (template.whyNotAppendable !== undefined) {
        throw new DiscedgeError(
          'mode_unavailable',
          `tokenized contexts need a template that only appends; this model's ${template.whyNotAppendable}. Use mode "raw"`,
          {
            param: 'mode',
          },
        );
      }
      const session = input.session as CachedSession;
      const context = contextAt(session, input.base);
      const segment =
        input.base === undefined
          ? await template.openSession(input.request.messages)
          : await template.continueSession(context.lastReply, input.request.messages);
      const ids = fit(context, segment, input, llm.description.contextTokens, template, session);
      const takeBack = context.offer(ids);
      return {
        ids: context.ids,
        contextStart: context.firstTurn,
        async store(reply): Promise<TokenizedPayload> {
          const shown = await shownText(llm, reply.ids, reply.stop);
          return {
            mode: 'tokenized',
            promptIds: segment.ids,
            replyIds: reply.ids,
            exact: reply.exact,
            leadLength: segment.leadLength,
            spans: segment.spans,
            replyText: shown === reply.text ? undefined : reply.text,
          };
        },
        kept: (sealed) => context.commit(sealed),
        discarded() {
          takeBack();
          if (context.firstTurn !== (input.base?.record.contextStart ?? 1)) session.tokens = undefined;
        },
      };
    },

    async read(turn: Turn) {
      const payload = turn.record.payload as TokenizedPayload;
      const messages: Message[] = [];
      for (const { role, start, length } of payload.spans) {
        messages.push({ role, content: await llm.detokenize(payload.promptIds.slice(start, start + length)) });
      }
      const reply = payload.replyText ?? (await shownText(llm, payload.replyIds, turn.record.stop));
      return { messages, reply, replyIds: payload.replyIds, exact: payload.exact };
    },
  };
}

/** The folded context that ends in `base`: the cached one where it is that, else folded anew. */
function contextAt(session: CachedSession, base: Turn | undefined): TokenContext {
  if (session.tokens?.tip !== base?.hash || session.tokens === undefined) {
    session.tokens = TokenContext.of(base === undefined ? [] : session.history.line(base));
  }
  return session.tokens;
}

/** Makes room for the segment as the overflow policy says; returns the ids to append. */
function fit(
  context: TokenContext,
  segment: TurnSegment,
  { overflow, replyTokens }: BuildInput,
  windowTokens: number,
  template: ChatTemplate,
  session: CachedSession,
): TokenSequence {
  const neededTokens = context.ids.length + segment.ids.length + replyTokens;
  if (neededTokens <= windowTokens) return segment.ids;
  const hasSystem = session.history.line()[0]?.record.payload;
  if (overflow === 'error' || context.turnSizes().length === 0)
    throw overflowError(neededTokens, windowTokens, overflow);
  if (
    !template.preambleIsolated &&
    hasSystem?.mode === 'tokenized' &&
    hasSystem.spans.some(({ role }) => role === 'system')
  ) {
    throw new DiscedgeError(
      'context_overflow',
      "drop-oldest cannot keep the system message: this model's template puts it inside the first user message",
      {
        param: 'overflow',
      },
    );
  }
  const turnTokens = context.turnSizes();
  const count = turnsToDrop({
    windowTokens,
    replyTokens,
    preambleTokens: context.preambleTokens,
    turnTokens,
    newTokens: segment.ids.length,
  });
  if (count === undefined)
    throw overflowError(context.preambleTokens + segment.ids.length + replyTokens, windowTokens, overflow);
  context.drop(count);
  return count === turnTokens.length ? segment.ids.slice(segment.leadLength) : segment.ids;
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
