// A conversation as it is composed of exact ids, turn by turn, under templates that change what is past. Tries to find a prompt
// that is not what the template writes of the same conversation, a content whose ids are not those that were read or written,
// a context that is another one when it is folded anew, and more ids evaluated again than the class of the template allows.
import { describe, expect, test } from 'vitest';
import { TokenContext } from '../../../src/context-manager/modes/token-context.ts';
import { writtenReply } from '../../../src/context-manager/modes/written-reply.ts';
import type { ContextId } from '../../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../../src/domain/record/record-codec.ts';
import { replyEndExtension } from '../../../src/domain/record/reply-end.ts';
import type { Message, TextMessage, TurnRecord } from '../../../src/domain/record/turn-record.ts';
import type { Turn } from '../../../src/domain/session/session-history.ts';
import type { TokenId } from '../../../src/domain/token-sequence.ts';
import {
  type ChatTemplate,
  compileChatTemplate,
  type ReasoningPolicy,
} from '../../../src/llm-service/chat-template.ts';
import type { LlmService } from '../../../src/llm-service/llm-service.ts';
import { JANUARY_31, written } from '../../support/compiled-style.ts';
import { THINKING_STYLES, type ThinkingStyle } from '../../support/thinking-styles.ts';
import { byteTokenizer, type ToyTokenizer, templateDescription } from '../../support/toy-tokenizer.ts';

interface Compiled {
  readonly style: ThinkingStyle;
  readonly tokenizer: ToyTokenizer;
  readonly template: ChatTemplate;
  readonly llm: LlmService;
}

async function compiled(name: keyof typeof THINKING_STYLES): Promise<Compiled> {
  const style = THINKING_STYLES[name] as ThinkingStyle;
  const tokenizer = byteTokenizer(style.controls);
  const description = templateDescription(style.source, {
    ...style,
    endOfGeneration: style.ends.map((end) => tokenizer.control(end)),
  });
  const template = await compileChatTemplate(description, tokenizer.tokenize, { now: () => JANUARY_31 });
  const plain = (ids: readonly TokenId[]) => tokenizer.text(ids.filter((id) => !tokenizer.isControl(id)));
  const llm = {
    description,
    tokenize: tokenizer.tokenize,
    detokenize: async (ids: readonly TokenId[]) => plain(ids),
    pieces: async (ids: readonly TokenId[]) => ids.map((id) => Buffer.from(tokenizer.text([id]))),
  } as unknown as LlmService;
  return { style, tokenizer, template, llm };
}

/** A conversation that goes on as a node's would, beside the messages that a template would be given. */
class Session {
  readonly parts: Compiled;
  readonly policy: ReasoningPolicy;
  readonly messages: TextMessage[] = [];
  readonly line: Turn[] = [];
  context: TokenContext | undefined;
  rewritten: number[] = [];
  #dropped = false;

  constructor(parts: Compiled, policy: ReasoningPolicy = 'as-template') {
    this.parts = parts;
    this.policy = policy;
  }

  /** Asks, checks the prompt against the template's own, and has `reply` written. */
  async turn(
    added: readonly TextMessage[],
    reply: { thought?: string; answer: string },
    { drop = 0 } = {},
  ): Promise<void> {
    const { template, tokenizer, style, llm } = this.parts;
    const context = this.context ?? (await TokenContext.of([], template, this.policy));
    const last = context.ids.slice();
    const { changes, segment } =
      this.line.length === 0
        ? { changes: [], segment: await template.openSession(added) }
        : await template.continueSession(context.conversation, added, this.policy);
    this.rewritten.push(context.settle({ changes }));
    expect(context.ids.length <= last.length || this.policy !== 'keep').toBe(true);
    if (drop > 0) {
      const sizes = context.turnSizes();
      context.drop(drop, this.parts.template);
      this.#dropped = true;
      expect(context.turnSizes().slice(1)).toEqual(sizes.slice(drop + 1));
    }
    context.offer(segment);
    this.messages.push(...added);
    const prompt = tokenizer.text(context.ids);
    if (this.policy === 'as-template' && !this.#dropped)
      expect(prompt).toBe(written(style, style.inParts ? this.messages.map(inParts) : this.messages));
    const promptIds = segment.ids;
    const text = style.reply(reply, prompt);
    const ids = await tokenizer.tokenize(text, { parseSpecial: true });
    const end = {
      ids,
      text: tokenizer.text(ids.filter((id) => !tokenizer.isControl(id))),
      stop: { kind: 'end' as const },
    };
    const { marks, end: replyEnd } = await writtenReply(
      { ...end, kind: 'end', exact: true, usage: {} as never },
      { llm, template },
    );
    const extensions = replyEndExtension(replyEnd);
    const record = {
      kind: 'turn',
      turn: this.line.length + 1,
      contextStart: context.firstTurn,
      stop: { kind: 'end' },
      ...(extensions !== undefined && { extensions }),
      payload: {
        mode: 'tokenized',
        promptIds,
        replyIds: ids,
        exact: true,
        leadLength: segment.leadLength,
        spans: segment.spans,
        replyText: undefined,
        ...(marks.length > 0 && { marks }),
      },
    } as unknown as TurnRecord;
    const hash = `h${record.turn}` as ContextId;
    context.commit({ record, hash, bytes: Buffer.alloc(0) } as unknown as SealedRecord);
    this.line.push({ record, hash } as Turn);
    this.messages.push(style.message(reply));
    this.context = context;
  }

  async refold(): Promise<TokenContext> {
    return TokenContext.of(this.line, this.parts.template, this.policy);
  }
}

const inParts = (message: TextMessage): Message => ({
  ...message,
  content: [{ type: 'text', text: message.content }],
});
const user = (content: string): TextMessage => ({ role: 'user', content });
const system: TextMessage = { role: 'system', content: 'Be brief.' };
const tool = (content: string): TextMessage => ({ role: 'tool', content });

describe.each(Object.keys(THINKING_STYLES))('under a template that %s', (name) => {
  const style = THINKING_STYLES[name] as ThinkingStyle;

  test('is of the class that it is', async () => {
    const { template } = await compiled(name);
    const classes = Object.fromEntries(template.classes.map((found) => [found.trait, found.class]));
    expect(classes).toMatchObject(style.classes);
    expect(template.whyUnusable).toBeUndefined();
  });

  const kinds = [['without reasoning', false], ...(style.thinks ? [['with reasoning', true] as const] : [])] as const;
  const systems = style.classes.system === 'refused' ? [false] : [false, true];
  const tools = style.classes.tools === 'refused' ? [false] : [false, true];
  const cases = kinds.flatMap(([, thinks]) =>
    systems.flatMap((opens) => tools.map((called) => [thinks, opens, called] as const)),
  );

  test.each(cases)(
    'six turns read as the template writes them (reasoning %s, system %s, tools %s)',
    async (thinks, opens, called) => {
      const session = new Session(await compiled(name));
      for (let turn = 1; turn <= 6; turn++) {
        const asked = called && turn % 3 !== 1 ? tool(`result ${turn}`) : user(`question ${turn}`);
        const opening = opens && turn === 1 ? [system] : [];
        await session.turn([...opening, asked], {
          answer: `answer ${turn}`,
          ...(thinks && { thought: `because ${turn}` }),
        });
        const refolded = await session.refold();
        expect(refolded.ids).toEqual(session.context?.ids);
        expect(refolded.turnSizes()).toEqual(session.context?.turnSizes());
        const taken = refolded.turnSizes().reduce((sum, size) => sum + size, refolded.preambleTokens);
        expect(taken).toBe(refolded.ids.length);
      }
    },
  );

  test('turns with and without reasoning may follow each other', async () => {
    if (!style.thinks) return;
    const session = new Session(await compiled(name));
    for (const [turn, thinks] of [true, false, false, true, true, false, true].entries()) {
      await session.turn([user(`q${turn}`)], { answer: `a${turn}`, ...(thinks && { thought: `t${turn}` }) });
      expect((await session.refold()).ids).toEqual(session.context?.ids);
    }
  });

  test('no more is evaluated again than the newest turns', async () => {
    const session = new Session(await compiled(name));
    const sizes: number[] = [];
    for (let turn = 1; turn <= 8; turn++) {
      const before = session.context?.ids.length ?? 0;
      await session.turn([user(`question ${turn}`)], {
        answer: 'a'.repeat(50),
        ...(style.thinks && { thought: 't'.repeat(50) }),
      });
      sizes.push((session.context?.ids.length ?? 0) - before);
    }
    const reach = Math.max(0, ...(await compiled(name)).template.classes.map((found) => found.reach));
    const allowed = reach * 400;
    for (const count of session.rewritten) expect(count).toBeLessThanOrEqual(allowed);
  });

  test('what is left when the oldest turns are left out is the same context when it is folded anew', async () => {
    const session = new Session(await compiled(name));
    for (let turn = 1; turn <= 9; turn++) {
      const opening = style.classes.system !== 'refused' && turn === 1 ? [system] : [];
      const reply = { answer: `a${turn}`, ...(style.thinks && { thought: `t${turn}` }) };
      const drop = turn === 4 || turn === 8 ? 2 : 0;
      await session.turn([...opening, user(`q${turn}`)], reply, { drop });
      const refolded = await session.refold();
      const text = (ids: readonly TokenId[] | undefined) => session.parts.tokenizer.text(ids ?? []);
      expect(text(refolded.ids)).toBe(text(session.context?.ids));
      expect(refolded.turnSizes()).toEqual(session.context?.turnSizes());
      expect(text(refolded.ids).includes('q1')).toBe(turn < 4);
    }
  });

  test('what a client wants kept is kept as it was written', async () => {
    const session = new Session(await compiled(name), 'keep');
    let before: readonly TokenId[] = [];
    for (let turn = 1; turn <= 4; turn++) {
      await session.turn([user(`q${turn}`)], { answer: `a${turn}`, ...(style.thinks && { thought: `t${turn}` }) });
      const text = session.parts.tokenizer.text(session.context?.ids ?? []);
      if (style.thinks) for (let past = 1; past <= turn; past++) expect(text).toContain(`t${past}`);
      before = session.context?.ids.slice() ?? [];
    }
    expect((await session.refold()).ids).toEqual(before);
  });

  test('what a client wants dropped is in no later prompt', async () => {
    if (!style.thinks) return;
    const session = new Session(await compiled(name), 'drop');
    for (let turn = 1; turn <= 4; turn++) {
      await session.turn([user(`q${turn}`)], { answer: `a${turn}`, thought: `t${turn}` });
      const text = session.parts.tokenizer.text(session.context?.ids ?? []);
      for (let past = 1; past < turn; past++) {
        expect(text).not.toContain(`t${past}`);
        expect(text).toContain(`a${past}`);
      }
      expect((await session.refold()).ids).toEqual(session.context?.ids);
    }
  });
});
