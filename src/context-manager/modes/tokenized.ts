import { turnsToDrop } from '../../domain/context-window.ts';
import { DiscedgeError } from '../../domain/errors.ts';
import type { IdMark } from '../../domain/record/message-content.ts';
import { replyEndExtension } from '../../domain/record/reply-end.ts';
import type { Message, TokenizedPayload } from '../../domain/record/turn-record.ts';
import type { Turn } from '../../domain/session-history.ts';
import { type ChatTemplate, samePreamble, type TurnSegment } from '../../llm-service/chat-template.ts';
import type { Vocabulary } from '../../llm-service/llm-service.ts';
import type { ReplyReading } from '../turn/reply-reader.ts';
import { addedMessages } from '../turn/turn.ts';
import { openingPart, overflowError } from './context-overflow.ts';
import { KnownCalls, markedCalls } from './known-calls.ts';
import type { BuildInput, Mode, Prompt } from './mode.ts';
import { readMessage, readPreamble } from './read-turn.ts';
import { type SaidMessage, saidMessages } from './said-messages.ts';
import { TokenContext } from './token-context.ts';
import { shown, writtenReply } from './written-reply.ts';
import { tokenizedPayload } from './written-turn.ts';

/** Context as exact ids: the prompt is the context's ids followed by the new turn's, so the KV prefix holds as far as the template lets it. */
export function tokenizedMode(llm: Vocabulary, template: ChatTemplate, reading: ReplyReading): Mode {
  return {
    name: 'tokenized',

    async build(input: BuildInput): Promise<Prompt> {
      const { request, session, base } = input;
      const context = await takeContext(input, template);
      const messages = saidMessages(addedMessages(request), new KnownCalls(context.calls));
      const { preamble: before } = context.conversation;
      const preamble = request.preamble === undefined ? before : await template.preamble(request.preamble);
      const { segment, ...standing } =
        base === undefined
          ? { changes: [], segment: await template.openSession(messages, preamble) }
          : await template.continueSession(context.conversation, messages, request.reasoning, preamble);
      const rewrittenTokens = context.settle(standing, preamble);
      makeRoom(context, segment, input, { windowTokens: llm.description.contextTokens, template });
      context.offer(segment);
      const draft: TokenizedPayload = {
        mode: 'tokenized',
        // Copies are as long as what is in them; what was pushed to has room for half as much again.
        promptIds: segment.ids.slice(),
        replyIds: [],
        exact: true,
        leadLength: segment.leadLength,
        spans: segment.spans,
        replyText: undefined,
      };
      const own = promptMarks(segment, messages);
      const { definitions } = preamble.tools;
      const kept = !samePreamble(before, preamble) && {
        preamble: { instructions: preamble.instructions, tools: definitions },
      };
      return {
        tools: definitions,
        ids: context.ids,
        contextStart: context.firstTurn,
        rewrittenTokens,
        draft: { payload: { ...draft, ...(own.length > 0 && { marks: own }) }, ...kept },
        async record(reply, read) {
          const { marks: thinking, end, replyText } = await writtenReply(reply, { llm, template });
          const marks = [...own, ...thinking, ...read.calls];
          const extensions = replyEndExtension(end);
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
          if (context.withdraw()) session.tokens = context;
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
async function takeContext({ session, base, request }: BuildInput, template: ChatTemplate): Promise<TokenContext> {
  const held = session.tokens;
  session.tokens = undefined;
  if (base !== undefined && held?.tip === base.hash && held.policy === request.reasoning) return held;
  return TokenContext.of(base === undefined ? [] : session.history.answeredLine(base), template, request.reasoning);
}

/** Drops what the overflow policy allows until the segment and a reply fit. */
function makeRoom(
  context: TokenContext,
  segment: TurnSegment,
  { session, base, request, replyTokens }: BuildInput,
  { windowTokens, template }: { windowTokens: number; template: ChatTemplate },
): void {
  const promptTokens = context.ids.length + segment.ids.length;
  if (promptTokens + replyTokens <= windowTokens) return;
  const lengths = { promptTokens, replyTokens, windowTokens };
  if (base === undefined) throw overflowError(openingPart(request), lengths);
  if (request.overflow === 'error') throw overflowError('context', lengths);
  if (!template.keepsSystem && opensWithSystem(session.history.answeredLine(base)[0])) {
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
    throw overflowError('message', { ...lengths, promptTokens: preambleTokens + newTokens });
  }
  context.drop(count, template);
}

function opensWithSystem(first: Turn | undefined): boolean {
  return first !== undefined && tokenizedPayload(first).spans.some(({ role }) => role === 'system');
}
