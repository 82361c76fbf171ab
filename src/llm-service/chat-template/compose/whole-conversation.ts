import { appendTokens, type TokenId, type TokenSequence } from '../../../domain/token-sequence.ts';
import { strip } from '../../jinja/text.ts';
import { type CallSyntax, callIdIn, markCalls, toolCalls } from '../classes/call-syntax.ts';
import type { ReasoningStyle } from '../classes/reasoning-style.ts';
import { trimStart } from '../classes/text-ends.ts';
import type { ReasoningPolicy } from '../classes/turn-change.ts';
import type { ToolList } from '../prompt-preamble.ts';
import type { TemplateMessage } from '../template-message.ts';
import { TemplateRefusal, type TemplateRenderer } from '../template-renderer.ts';
import { callTexts, type WrittenText } from './call-texts.ts';
import type { PieceTokenizer, Seam } from './piece-tokenizer.ts';

/** A rendered conversation: literal, content, literal, … , literal. */
export interface WholeConversation {
  readonly literals: readonly string[];
  readonly contents: readonly (readonly WrittenText[])[];
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
  given: readonly TemplateMessage[],
  options: {
    readonly style: ReasoningStyle | undefined;
    readonly calls?: CallSyntax | undefined;
    readonly tools?: ToolList;
    readonly policy?: ReasoningPolicy;
    readonly generationPrompt?: boolean;
  },
): WholeConversation {
  const { style, calls: syntax, policy = 'as-template', generationPrompt = true, tools } = options;
  const messages = policy === 'drop' && style !== undefined ? given.map((message) => answerOf(message, style)) : given;
  const seesReasoning = policy === 'as-template' && renderer.mentions('</think>');
  const hidden: (readonly WrittenText[])[] = [];
  const hide = (text: string): string => {
    const core = strip(text, { start: true, end: true });
    if (core === '') return text;
    hidden.push([{ text: core }]);
    return text.replace(core, renderer.mark(hidden.length - 1));
  };
  const firstMarks: (string | undefined)[] = [];
  const called: { readonly names: readonly string[]; readonly mark: string }[] = [];
  const marksOf = (names: readonly string[], mark: string) =>
    names.map((name, place) => ({ name, mark: renderer.mark(`${mark}.${place}`) }));
  const masked = messages.map((message) => {
    const { role, content, calls, answers } = message;
    const first = hidden.length;
    if (calls !== undefined && calls.length > 0) {
      hidden.push(callTexts(message, syntax));
      const names = calls.map(({ name }) => name);
      called.push({ names, mark: String(first) });
      firstMarks.push(String(first));
      const said = strip(content, { start: true, end: true }) === '' ? '' : renderer.mark(`${first}.said`);
      return { role, content: said, tool_calls: toolCalls(marksOf(names, String(first))) };
    }
    const parts = seesReasoning && role === 'assistant' ? content.split(REASONING) : [content];
    const shown = parts.map((part, index) => (index % 2 === 1 ? part : hide(part))).join('');
    firstMarks.push(hidden.length > first ? String(first) : undefined);
    const answered = answers && { name: answers.name, tool_call_id: callIdIn(answers.place) };
    return { role, content: shown, ...answered };
  });
  let text = renderer.render(masked, { generationPrompt, ...(tools && { tools: tools.variable }) });
  for (const { names, mark } of called) {
    if (syntax === undefined) throw new TemplateRefusal('knows no calls of tools');
    text = markCalls(text, marksOf(names, mark), {
      syntax,
      mark: renderer.mark(mark),
      said: renderer.mark(`${mark}.said`),
    });
  }
  const { literals, marks } = renderer.splitAtMarks(text);
  const kept = new Set(marks);
  for (const [index, { role }] of masked.entries()) {
    // A template may drop a reply's reasoning, and so all of a reply that was only reasoning.
    const mark = firstMarks[index];
    if (role !== 'assistant' && mark !== undefined && !kept.has(mark)) {
      throw new TemplateRefusal(`leaves out ${role} messages`);
    }
  }
  return { literals, contents: marks.map((mark) => hidden[Number(mark)] ?? []) };
}

/** A reply without its reasoning. */
function answerOf(message: TemplateMessage, { end, trim }: ReasoningStyle): TemplateMessage {
  const at = message.role === 'assistant' ? message.content.lastIndexOf(end) : -1;
  return at === -1 ? message : { ...message, content: trimStart(message.content.slice(at + end.length), trim) };
}

/** Its text; a reply that is `unended` stands last, and what the template puts after it is left out. */
export function textOfWhole({ literals, contents }: WholeConversation, { unended }: { unended: boolean }): string {
  const last = literals.length - 1;
  return literals
    .map((literal, index) =>
      index === last ? (unended ? '' : literal) : literal + (contents[index] ?? []).map(({ text }) => text).join(''),
    )
    .join('');
}

/** Ids of a whole conversation; a literal that is not kept yet costs a few tokenize calls, a content one. */
export async function tokenizeWhole(whole: WholeConversation, pieces: PieceTokenizer): Promise<TokenId[]> {
  const seams: Seam[] = [];
  for (const [index, text] of whole.literals.slice(0, -1).entries()) {
    seams.push(await pieces.seam(text, index === 0 ? 'start' : 'after-text'));
  }
  const contents = await pieces.contents(
    whole.contents.map((texts, index) => ({ texts, style: (seams[index] as Seam).style })),
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
