import type {
  ContextId,
  Incarnation,
  KeygroupId,
  NodeId,
  RequestDigest,
  SessionId,
  TurnNumber,
  UserId,
} from 'discedge/internal/domain/identifiers';
import { sealRecord } from 'discedge/internal/domain/record/record-codec';
import type { TurnRecord } from 'discedge/internal/domain/record/turn-record';
import type { TokenId } from 'discedge/internal/domain/token-sequence';
import type { Clock } from 'discedge/internal/environment/environment';
import { afterReply, type ChatTemplate, compileChatTemplate } from 'discedge/internal/llm-service/chat-template';
import type { LlmService } from 'discedge/internal/llm-service/llm-service';
import type { WrittenTurn } from './transcript-llm.ts';

/**
 * In which form a turn is written down. `delta`: what it added, as edge nodes do. `whole-context`: all ids of the session
 * so far, in our encoding. `whole-context-json`: all of them as a JSON array, as the paper's prototype does.
 */
export type RecordForm = 'delta' | 'whole-context' | 'whole-context-json';

export interface RecordOrigin {
  readonly keygroup: KeygroupId;
  readonly origin: NodeId;
  readonly incarnation: Incarnation;
  readonly clock: Clock;
  /** Longest reply. */
  readonly replyTokens: number;
}

/** A session is kept for a day; the experiment takes minutes. */
const TTL_MS = 86_400_000;

interface Segment {
  readonly promptIds: readonly TokenId[];
  readonly replyIds: readonly TokenId[];
  readonly leadLength: number;
  readonly spans: Awaited<ReturnType<ChatTemplate['openSession']>>['spans'];
}

/** The records of one conversation, turn by turn, as the Context Manager would write them and as it would not. */
export class SessionRecords {
  readonly #segments: readonly Segment[];
  readonly #from: RecordOrigin;
  readonly #context: TokenId[] = [];
  #turn = 0;
  #parent: ContextId | undefined;

  private constructor(segments: readonly Segment[], from: RecordOrigin) {
    this.#segments = segments;
    this.#from = from;
  }

  static async of(llm: LlmService, turns: readonly WrittenTurn[], from: RecordOrigin): Promise<SessionRecords> {
    const template = await compileChatTemplate(llm.description, (text, how) => llm.tokenize(text, how), from.clock);
    const segments: Segment[] = [];
    for (const { message, reply } of turns) {
      const messages = [{ role: 'user', content: message }] as const;
      const before = segments.at(-1);
      const segment =
        before === undefined
          ? await template.openSession(messages)
          : (await template.continueSession(afterReply(before.replyIds), messages)).segment;
      const replyIds = (await llm.tokenize(reply, { parseSpecial: false })).slice(0, from.replyTokens);
      segments.push({ promptIds: segment.ids, leadLength: segment.leadLength, spans: segment.spans, replyIds });
    }
    return new SessionRecords(segments, from);
  }

  /** Throws RangeError behind the last turn. */
  next(form: RecordForm): { readonly record: TurnRecord; readonly contextTokens: number } {
    const segment = this.#segments[this.#turn];
    if (segment === undefined) throw new RangeError(`the conversation has ${this.#segments.length} turns`);
    this.#turn++;
    const { promptIds, replyIds } = segment;
    const before = this.#context.slice();
    this.#context.push(...promptIds, ...replyIds);
    const record = this.#record(this.#payload(form, segment, before));
    this.#parent = sealRecord(record).hash;
    return { record, contextTokens: this.#context.length };
  }

  #payload(form: RecordForm, segment: Segment, before: readonly TokenId[]): TurnRecord['payload'] {
    const exact = { mode: 'tokenized', exact: true, replyText: undefined } as const;
    switch (form) {
      case 'delta':
        return { ...exact, ...segment };
      case 'whole-context':
        return {
          ...exact,
          promptIds: [...before, ...segment.promptIds],
          replyIds: segment.replyIds,
          leadLength: before.length,
          spans: [],
        };
      case 'whole-context-json':
        return { mode: 'raw', messages: [{ role: 'user', content: JSON.stringify(this.#context) }], reply: '' };
      default:
        return form satisfies never;
    }
  }

  #record(payload: TurnRecord['payload']): TurnRecord {
    const { clock, keygroup, origin, incarnation, replyTokens } = this.#from;
    const writtenAtMs = clock.now();
    return {
      kind: 'turn',
      keygroup,
      userId: 'experiment' as UserId,
      sessionId: 'replication' as SessionId,
      origin,
      incarnation,
      writtenAtMs,
      expiresAtMs: writtenAtMs + TTL_MS,
      turn: this.#turn as TurnNumber,
      parent: this.#parent,
      requestDigest: this.#turn.toString(16).padStart(16, '0') as RequestDigest,
      contextStart: 1 as TurnNumber,
      stop: { kind: 'limit' },
      sampling: { temperature: 0, seed: 123, maxTokens: replyTokens },
      payload,
    };
  }
}
