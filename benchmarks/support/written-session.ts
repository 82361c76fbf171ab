import { randomBytes } from 'node:crypto';
import { NINE_WRITTEN_TURNS } from '../../evaluation/src/experiments/parts/written-turns.ts';
import { ANONYMOUS, type SessionId, type TurnNumber } from '../../src/domain/identifiers.ts';
import type { TextMessage, TokenizedPayload } from '../../src/domain/record/turn-record.ts';
import { appendTokens, type TokenId } from '../../src/domain/token-sequence.ts';
import { afterReply, compileChatTemplate } from '../../src/llm-service/chat-template.ts';
import { qwen2VocabularyFile } from '../../tools/qwen2-vocabulary.ts';
import { loadVocabulary } from '../../tools/vocabulary.ts';
import type { WrittenTurn } from './replication-node.ts';

/** How a context travels: each turn's own part, or all of it again with each turn, as the paper's prototype sends it. */
export type Portion = 'delta' | 'whole';
export type Mode = 'tokenized' | 'raw';

/** Ids in each reply of the paper's scenario. */
const REPLY_TOKENS = 128;
const SAMPLING = { temperature: 0, seed: 123, maxTokens: REPLY_TOKENS };

interface SpokenTurn {
  readonly user: TextMessage;
  readonly reply: string;
}

/** The nine turns as an edge node with the Qwen2 tokenizer and template stores them; each reply is cut at 128 ids. */
export class WrittenSessions {
  readonly #tokenized: readonly TokenizedPayload[];
  readonly #messages: readonly SpokenTurn[];

  private constructor(tokenized: readonly TokenizedPayload[], replies: readonly string[]) {
    this.#tokenized = tokenized;
    this.#messages = NINE_WRITTEN_TURNS.map(({ message }, i) => ({
      user: { role: 'user', content: message },
      reply: replies[i] as string,
    }));
  }

  static async load(): Promise<WrittenSessions> {
    const vocabulary = await loadVocabulary(await qwen2VocabularyFile());
    try {
      const { description, tokenize } = vocabulary;
      const template = await compileChatTemplate(description, tokenize, { now: () => 0 });
      const tokenized: TokenizedPayload[] = [];
      for (const { message, reply } of NINE_WRITTEN_TURNS) {
        const messages: TextMessage[] = [{ role: 'user', content: message }];
        const before = tokenized.at(-1)?.replyIds;
        const segment =
          before === undefined
            ? await template.openSession(messages)
            : (await template.continueSession(afterReply(before), messages)).segment;
        const replyIds = (await tokenize(reply, { parseSpecial: false })).slice(0, REPLY_TOKENS);
        if (replyIds.length < REPLY_TOKENS) throw new Error(`the reply to "${message}" is too short`);
        tokenized.push({
          mode: 'tokenized',
          promptIds: [...segment.ids],
          replyIds,
          exact: true,
          leadLength: segment.leadLength,
          spans: segment.spans,
          replyText: undefined,
        });
      }
      return new WrittenSessions(
        tokenized,
        tokenized.map(({ replyIds }) => vocabulary.text(replyIds)),
      );
    } finally {
      await vocabulary.close();
    }
  }

  get turns(): number {
    return NINE_WRITTEN_TURNS.length;
  }

  /** A new session's turns; `count` of them, the nine over and over. */
  session(mode: Mode, portion: Portion, count = this.turns): WrittenTurn[] {
    const sessionId = randomBytes(16).toString('hex') as SessionId;
    return Array.from({ length: count }, (_, i) => ({
      sessionId,
      userId: ANONYMOUS,
      // A whole context stands for itself: nothing comes before it.
      turn: (portion === 'whole' ? 1 : i + 1) as TurnNumber,
      stop: { kind: 'limit' },
      sampling: SAMPLING,
      payload: mode === 'raw' ? this.#raw(i, portion) : this.#ids(i, portion),
    }));
  }

  #ids(turn: number, portion: Portion): TokenizedPayload {
    const payload = this.#tokenized[turn % this.turns] as TokenizedPayload;
    if (portion === 'delta') return payload;
    const promptIds: TokenId[] = [];
    for (const { promptIds: ids, replyIds } of this.#tokenized.slice(0, turn)) {
      appendTokens(promptIds, ids);
      appendTokens(promptIds, replyIds);
    }
    const start = promptIds.length;
    appendTokens(promptIds, payload.promptIds);
    const spans = payload.spans.map((span) => ({ ...span, start: span.start + start }));
    return { ...payload, promptIds, spans };
  }

  #raw(turn: number, portion: Portion): WrittenTurn['payload'] {
    const { user, reply } = this.#messages[turn % this.turns] as SpokenTurn;
    if (portion === 'delta') return { mode: 'raw', messages: [user], reply };
    const before = this.#messages
      .slice(0, turn)
      .flatMap((earlier): TextMessage[] => [earlier.user, { role: 'assistant', content: earlier.reply }]);
    return { mode: 'raw', messages: [...before, user], reply };
  }
}
