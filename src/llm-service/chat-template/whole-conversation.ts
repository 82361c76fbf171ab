import type { TextMessage } from '../../domain/record/turn-record.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type { PieceTokenizer, Seam } from './piece-tokenizer.ts';
import type { ReasoningStyle } from './reasoning-style.ts';
import { TemplateRefusal, type TemplateRenderer } from './template-renderer.ts';
import { trimStart } from './text-ends.ts';
import type { ReasoningPolicy } from './turn-change.ts';

/** A rendered conversation: literal, content, literal, … , literal. */
export interface WholeConversation {
  readonly literals: readonly string[];
  readonly contents: readonly string[];
}

/** The marks of reasoning that templates look for inside a reply. */
const REASONING = /(<think>|<\/think>)/;

/**
 * A whole conversation, with its generation prompt or without, for raw mode. The template sees each content's outer white space and,
 * where it looks for reasoning, the reasoning marks of replies, and may remove them; the rest stays hidden from it. Those
 * marks come back in literals: in a reply they are the model's own control tokens. Under the policy `keep` replies are hidden
 * whole, under `drop` they have lost their reasoning before.
 */
export function wholeConversation(
  renderer: TemplateRenderer,
  given: readonly TextMessage[],
  options: {
    readonly style: ReasoningStyle | undefined;
    readonly policy?: ReasoningPolicy;
    readonly generationPrompt?: boolean;
  },
): WholeConversation {
  const { style, policy = 'as-template', generationPrompt = true } = options;
  const messages = policy === 'drop' && style !== undefined ? given.map((message) => answerOf(message, style)) : given;
  const seesReasoning = policy === 'as-template' && renderer.mentions('</think>');
  const hidden: string[] = [];
  const hide = (text: string): string => {
    const core = text.trim();
    if (core === '') return text;
    hidden.push(core);
    return text.replace(core, renderer.mark(hidden.length - 1));
  };
  const firstMarks: (string | undefined)[] = [];
  const masked = messages.map(({ role, content }) => {
    const first = hidden.length;
    const parts = seesReasoning && role === 'assistant' ? content.split(REASONING) : [content];
    const shown = parts.map((part, index) => (index % 2 === 1 ? part : hide(part))).join('');
    firstMarks.push(hidden.length > first ? String(first) : undefined);
    return { role, content: shown };
  });
  const { literals, marks } = renderer.splitAtMarks(renderer.render(masked, { generationPrompt }));
  const kept = new Set(marks);
  for (const [index, { role }] of masked.entries()) {
    // A template may drop a reply's reasoning, and so all of a reply that was only reasoning.
    const mark = firstMarks[index];
    if (role !== 'assistant' && mark !== undefined && !kept.has(mark)) {
      throw new TemplateRefusal(`leaves out ${role} messages`);
    }
  }
  return { literals, contents: marks.map((mark) => hidden[Number(mark)] as string) };
}

/** A reply without its reasoning. */
function answerOf(message: TextMessage, { end, trim }: ReasoningStyle): TextMessage {
  const at = message.role === 'assistant' ? message.content.lastIndexOf(end) : -1;
  return at === -1 ? message : { ...message, content: trimStart(message.content.slice(at + end.length), trim) };
}

/** Its text; a reply that is `unended` stands last, and what the template puts after it is left out. */
export function textOfWhole({ literals, contents }: WholeConversation, { unended }: { unended: boolean }): string {
  const last = literals.length - 1;
  return literals
    .map((literal, index) => (index === last ? (unended ? '' : literal) : `${literal}${contents[index]}`))
    .join('');
}

/** Ids of a whole conversation; a literal that is not kept yet costs a few tokenize calls, a content one. */
export async function tokenizeWhole(whole: WholeConversation, pieces: PieceTokenizer): Promise<TokenId[]> {
  const seams: Seam[] = [];
  for (const [index, text] of whole.literals.slice(0, -1).entries()) {
    seams.push(await pieces.seam(text, index === 0 ? 'start' : 'after-text'));
  }
  const contents = await pieces.contents(
    whole.contents.map((text, index) => ({ text, style: (seams[index] as Seam).style })),
  );
  const ids: TokenId[] = [];
  for (const [index, seam] of seams.entries()) {
    appendTokens(ids, seam.ids);
    appendTokens(ids, contents[index] as TokenSequence);
  }
  const place = seams.length === 0 ? 'start' : 'after-text';
  appendTokens(ids, await pieces.literal(whole.literals.at(-1) as string, place));
  return ids;
}
