import type { Role } from '../../domain/record/turn-record.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { TurnSegment } from './segment-shape.ts';

/** A turn as it was read and written, of which later prompts are composed. */
export interface ConversationTurn {
  readonly roles: readonly Role[];
  /** Its own part of its prompt. */
  readonly promptIds: TokenSequence;
  /** The exact ids of its messages' contents, in order. */
  content(message: number): TokenSequence;
  /** What follows its messages in its own prompt: the generation prompt. */
  readonly generationPrompt: TokenSequence;
  /** The ids that the model wrote, as far as they are part of the conversation. */
  readonly replyIds: TokenSequence;
  /** Whether the last of them is the token by which the model ended it. */
  readonly ended: boolean;
  /** How many of them, at the beginning, are reasoning and the marks around it. */
  readonly reasoningLength: number;
}

/** What a new turn follows. */
export interface Conversation {
  /** Oldest first, at least one. */
  readonly turns: readonly ConversationTurn[];
  /** Whether they begin with the session's first. */
  readonly fromStart: boolean;
  /** Ids of the session's system message, whether or not its turn is still there; `undefined`: it has none. */
  readonly system: TokenSequence | undefined;
}

/** How a turn that stands in the last prompt stands in the next one, as far as not as it did. */
export interface ChangedTurn {
  /** The end of the reply before it, and its messages. */
  readonly messages: Pick<TurnSegment, 'ids' | 'leadLength'> | undefined;
  /** From the end of its messages on: the beginning of the reply, in the template's words, and the reply. */
  readonly reply: TokenSequence | undefined;
  /** The token by which the model ended its reply is replaced by another, for good: it is not part of {@link reply}. */
  readonly losesEnd?: true;
}

export interface Continuation {
  /** For the last turns of the conversation, oldest first; `undefined` where one stands as it did. */
  readonly changes: readonly (ChangedTurn | undefined)[];
  readonly segment: TurnSegment;
}

/** A conversation of which only the last reply is known: what follows is what follows any plain exchange but the first. */
export function afterReply(replyIds: TokenSequence): Conversation {
  const turn = {
    ...{ roles: ['user' as const], promptIds: [], content: () => [], generationPrompt: [] },
    ...{ replyIds, ended: false, reasoningLength: 0 },
  };
  return { turns: [turn], fromStart: false, system: undefined };
}
