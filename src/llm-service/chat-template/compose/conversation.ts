import type { TokenSequence } from '../../../domain/token-sequence.ts';
import type { MessageOutline } from '../classes/conversation-form.ts';
import { EMPTY_PREAMBLE, type PromptPreamble } from '../prompt-preamble.ts';
import type { TurnSegment } from './segment-shape.ts';

/** A turn as it was read and written, of which later prompts are composed. */
export interface ConversationTurn {
  readonly messages: readonly MessageOutline[];
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
  /** The names of the tools that the reply calls. */
  readonly calls: readonly string[];
}

/** What a new turn follows. */
export interface Conversation {
  /** Oldest first, at least one. */
  readonly turns: readonly ConversationTurn[];
  /** Whether they begin with the session's first. */
  readonly fromStart: boolean;
  /** Ids of the session's system message, whether or not its turn is still there; `undefined`: it has none. */
  readonly system: TokenSequence | undefined;
  /** What stood before it in its last prompt. */
  readonly preamble: PromptPreamble;
  /** The session's first turn, whether or not it is still there; `undefined` where it is not known. */
  readonly opening: ConversationTurn | undefined;
}

/** A next turn, new or written before. */
export interface NextTurn {
  readonly messages: readonly MessageOutline[];
  readonly preamble: PromptPreamble;
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
  /** What the prompt begins with now, where it began otherwise and does not begin with the session's first turn. */
  readonly preamble?: TokenSequence;
  /** For the last turns of the conversation, oldest first; `undefined` where one stands as it did. */
  readonly changes: readonly (ChangedTurn | undefined)[];
  readonly segment: TurnSegment;
}

/** A conversation of which only the last reply is known: what follows is what follows any plain exchange but the first. */
export function afterReply(replyIds: TokenSequence): Conversation {
  const turn = {
    ...{ messages: [{ role: 'user' as const }], promptIds: [], content: () => [], generationPrompt: [] },
    ...{ replyIds, ended: false, reasoningLength: 0, calls: [] },
  };
  return { turns: [turn], fromStart: false, system: undefined, preamble: EMPTY_PREAMBLE, opening: undefined };
}
