import { appendTokens, type TokenId, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { ChangedTurn, ConversationTurn } from './conversation.ts';
import { startsWith } from './piece-tokenizer.ts';
import { type FormIds, fillForm, type StandingContents, standing } from './segment-shape.ts';

export interface ReplyEnd {
  readonly id: TokenId | undefined;
  readonly length: number;
}

/** A {@link TurnChange} in ids. */
export interface ChangeShape {
  readonly messages: { readonly form: FormIds; readonly end: ReplyEnd } | undefined;
  readonly reply:
    | 'written'
    | { readonly literal: TokenSequence; readonly unless: TokenSequence | undefined }
    | undefined;
}

export function changed(
  turn: ConversationTurn,
  shape: ChangeShape | undefined,
  { before, replyBefore }: { readonly before: StandingContents; readonly replyBefore: TokenSequence | undefined },
): ChangedTurn | undefined {
  if (shape === undefined) return undefined;
  const reply = changedReply(turn, shape.reply);
  if (shape.messages === undefined) return reply && { messages: undefined, reply };
  const { form, end } = shape.messages;
  const contents = form.marks.map((mark) => standing(mark, before) ?? turn.content(Number(mark)));
  return { messages: fillForm(form, contents, skipAfter(replyBefore, end)), reply };
}

/** How many ids of a turn's lead the reply before it has already. */
export function skipAfter(replyIds: TokenSequence | undefined, { id, length }: ReplyEnd): number {
  return id !== undefined && replyIds?.at(-1) === id ? length : 0;
}

function changedReply(
  { generationPrompt, replyIds, reasoningLength }: ConversationTurn,
  change: ChangeShape['reply'],
): TokenSequence | undefined {
  if (change === undefined) return undefined;
  if (change === 'written') return joined(generationPrompt, replyIds);
  const { literal, unless } = change;
  if (reasoningLength === 0 && unless !== undefined && startsWith(replyIds, unless)) return undefined;
  const answer = replyIds.slice(reasoningLength);
  const opening = unless ?? (startsWith(literal, generationPrompt) ? literal.slice(generationPrompt.length) : []);
  return joined(literal, startsWith(answer, opening) ? answer.slice(opening.length) : answer);
}

export function joined(a: TokenSequence, b: TokenSequence): TokenId[] {
  const ids: TokenId[] = [];
  appendTokens(ids, a);
  appendTokens(ids, b);
  return ids;
}
