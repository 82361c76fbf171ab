import { ANSWER_MARK, messageMarks, REASONING_MARK, type TurnForm, type TurnOutline } from './conversation-form.ts';

/** What a client may ask for of the reasoning in earlier replies; `as-template`: what the template does with it. */
export type ReasoningPolicy = 'keep' | 'drop' | 'as-template';
export const REASONING_POLICIES = ['as-template', 'keep', 'drop'] as const;

/** How a turn that stands in the last prompt stands in the next one, where not as it did. */
export interface TurnChange {
  /** Its messages are written in another form. */
  readonly messages: TurnForm | undefined;
  readonly reply: ReplyChange | undefined;
}

/**
 * `written`: it stands again as the model wrote it. Otherwise only its answer stands, behind another literal. `unless` is what the
 * template puts between its generation prompt and an answer, and the model may have written itself.
 */
export type ReplyChange = 'written' | { readonly literal: string; readonly unless: string | undefined };

/**
 * Compares a turn's form in the last prompt with that in the next one. Where its messages stay, they stay as the very ids that
 * were read, whatever date or tokenizer version they were made with. `renewed`: marks of contents that are others.
 */
export function turnChange(
  before: TurnForm,
  now: TurnForm,
  reply: TurnOutline['reply'],
  { policy, renewed = [] }: { readonly policy: ReasoningPolicy; readonly renewed?: readonly string[] | undefined },
): TurnChange | undefined {
  const [had, has] = [messageMarks(before), messageMarks(now)];
  const sameMessages =
    equal(before.marks.slice(0, had), now.marks.slice(0, has)) &&
    equal(before.literals.slice(0, had), now.literals.slice(0, has));
  const anew = renewed.some((mark) => now.marks.includes(mark));
  const messages = sameMessages && !anew ? undefined : now;
  const change = policy === 'keep' ? undefined : replyChange(before, now, reply, policy);
  return messages === undefined && change === undefined ? undefined : { messages, reply: change };
}

function replyChange(
  before: TurnForm,
  now: TurnForm,
  reply: TurnOutline['reply'],
  policy: ReasoningPolicy,
): ReplyChange | undefined {
  const [had, has] = [messageMarks(before), messageMarks(now)];
  const literal = now.literals[has] as string;
  const isNewest = before.marks[had] === undefined;
  if (!isNewest) {
    const same =
      equal(before.marks.slice(had), now.marks.slice(has)) &&
      equal(before.literals.slice(had), now.literals.slice(has));
    if (same) return undefined;
    return now.marks[has] === REASONING_MARK ? 'written' : { literal, unless: undefined };
  }
  // It stands as the model wrote it, and may go on to.
  if (now.marks[has] === REASONING_MARK) return undefined;
  const asked = before.literals[had] as string;
  const thought = reply?.reasoned === true && (policy === 'drop' || now.marks[has] === ANSWER_MARK);
  const opening = literal.startsWith(asked) ? literal.slice(asked.length) : undefined;
  if (thought) return { literal, unless: opening };
  // White space between prompt and answer is the model's to write, as part of its first word.
  return opening?.trim() === '' ? undefined : { literal, unless: opening };
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index]);
}
