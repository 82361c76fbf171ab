import { TokenContext } from '../../src/context-manager/modes/token-context.ts';
import {
  ANONYMOUS,
  type Incarnation,
  type KeygroupId,
  type NodeId,
  type RequestDigest,
  type SessionId,
  type TurnNumber,
} from '../../src/domain/identifiers.ts';
import { type SealedRecord, sealRecord } from '../../src/domain/record/record-codec.ts';
import type { TextMessage, TurnRecord } from '../../src/domain/record/turn-record.ts';
import type { Turn } from '../../src/domain/session/session-history.ts';
import type { TokenId } from '../../src/domain/token-sequence.ts';
import type { ChatTemplate } from '../../src/llm-service/chat-template.ts';

/** A reply as every turn of a {@link ComposedSession} gets it. */
export interface ConstantReply {
  readonly ids: readonly TokenId[];
  /** How many of them, at the beginning, are reasoning. */
  readonly reasoningLength: number;
}

const HEADER = {
  kind: 'turn',
  keygroup: 'beec4a11beec4a11' as KeygroupId,
  userId: ANONYMOUS,
  sessionId: 'composed' as SessionId,
  origin: 'benchmark' as NodeId,
  incarnation: '0000000a' as Incarnation,
  writtenAtMs: 0,
  expiresAtMs: 86_400_000,
  contextStart: 1 as TurnNumber,
  stop: { kind: 'end' },
  sampling: { temperature: 0, seed: 1, maxTokens: undefined },
} as const;

/** One session whose context is composed turn by turn, without an LLM Service, a store or HTTP. */
export class ComposedSession {
  readonly line: Turn[] = [];
  readonly #template: ChatTemplate;
  readonly #context: TokenContext;

  private constructor(template: ChatTemplate, context: TokenContext) {
    this.#template = template;
    this.#context = context;
  }

  static async open(template: ChatTemplate): Promise<ComposedSession> {
    return new ComposedSession(template, await TokenContext.of([], template, 'as-template'));
  }

  get promptTokens(): number {
    return this.#context.ids.length;
  }

  /** Composes the next prompt, which is what is timed, and commits the turn. Times in milliseconds. */
  async turn(
    messages: readonly TextMessage[],
    reply: ConstantReply,
  ): Promise<{ composeMs: number; rewritten: number }> {
    const context = this.#context;
    const startedMs = performance.now();
    const { changes, segment } =
      this.line.length === 0
        ? { changes: [], segment: await this.#template.openSession(messages) }
        : await this.#template.continueSession(context.conversation, messages);
    const rewritten = context.settle({ changes });
    context.offer(segment);
    const composeMs = performance.now() - startedMs;
    const { ids, reasoningLength } = reply;
    const sealed = sealRecord({
      ...HEADER,
      turn: (this.line.length + 1) as TurnNumber,
      parent: this.line.at(-1)?.hash,
      requestDigest: this.line.length.toString(16).padStart(16, '0') as RequestDigest,
      payload: {
        mode: 'tokenized',
        promptIds: segment.ids,
        replyIds: ids,
        exact: true,
        leadLength: segment.leadLength,
        spans: segment.spans,
        replyText: undefined,
        ...(reasoningLength > 0 && {
          marks: [{ segment: 'reply', start: 0, length: reasoningLength, part: { type: 'thinking' } }],
        }),
      },
    }) as SealedRecord & { record: TurnRecord };
    context.commit(sealed);
    this.line.push({ hash: sealed.hash, record: sealed.record });
    return { composeMs, rewritten };
  }

  /** Folds the whole line anew, as a node does that has not held the session. */
  async foldMs(): Promise<number> {
    const startedMs = performance.now();
    const folded = await TokenContext.of(this.line, this.#template, 'as-template');
    const elapsedMs = performance.now() - startedMs;
    if (folded.ids.length !== this.promptTokens) throw new Error('the fold is not the context that was composed');
    return elapsedMs;
  }
}
