import type { TokenSequence } from '../../../domain/token-sequence.ts';
import { TemplateRefusal, type TemplateRenderer } from '../template-renderer.ts';
import { PADDINGS, type Trim } from './text-ends.ts';

/** How a model that thinks writes it, and how its template is given it. */
export interface ReasoningStyle {
  /** The text that ends the reasoning in a reply, for example `</think>`: what stands before it is not the answer. */
  readonly end: string;
  /** The text that begins it; empty where it is not known. A prompt may end with it. */
  readonly start: string;
  /** What the template removes between that and the answer where it leaves the reasoning out. */
  readonly trim: Trim;
  /** An assistant message's fields, beside its role. */
  message(reasoning: string, answer: string): Readonly<Record<string, string>>;
}

/** The same of a model whose tokenizer is known. */
export interface WrittenReasoning extends ReasoningStyle {
  /** The ids of {@link ReasoningStyle.end}; a model may write it in others where they are ordinary text. */
  readonly endIds: TokenSequence;
}

/** Fields in which templates look for a reply's reasoning. */
const FIELDS = ['reasoning_content', 'thinking', 'reasoning'] as const;

/** Marks that models put around reasoning, for templates that look for them inside a reply's text. */
const INLINE: readonly { readonly start: string; readonly end: string }[] = [
  { start: '<think>', end: '</think>' },
  { start: '[THINK]', end: '[/THINK]' },
  { start: '<|START_THINKING|>', end: '<|END_THINKING|>' },
  { start: '<seed:think>', end: '</seed:think>' },
  { start: '<|channel>thought', end: '<channel|>' },
  { start: '<thought>', end: '</thought>' },
  { start: '<reasoning>', end: '</reasoning>' },
];

/** What a template knows of reasoning, found by rendering replies that have some; `undefined`: nothing. */
export function reasoningStyle(renderer: TemplateRenderer): ReasoningStyle | undefined {
  for (const field of FIELDS) {
    const message = (reasoning: string, answer: string) => ({ content: answer, [field]: reasoning });
    const shown = endShown(renderer, message);
    // Whoever takes a reply apart for such a field takes the white space between as well.
    if (shown !== undefined) return { ...shown, trim: 'white-space', message };
  }
  const known = INLINE.find(({ end }) => renderer.mentions(end));
  if (known === undefined) return undefined;
  const field = FIELDS.find((name) => renderer.reads(name));
  if (field !== undefined) {
    // It is shown in conversations that were not tried, and is no part of the content in any.
    const message = (reasoning: string, answer: string) => ({ content: answer, [field]: reasoning });
    return { ...known, trim: 'white-space', message };
  }
  const message = (reasoning: string, answer: string) => ({ content: known.start + reasoning + known.end + answer });
  return { ...known, trim: trimOf(renderer, message), message };
}

/** White space is no part of an answer where the template never leaves reasoning out, and so does not say. */
function trimOf(renderer: TemplateRenderer, message: ReasoningStyle['message']): Trim {
  const asked = { role: 'user', content: 'x' };
  const before = (padding: string) => {
    const reply = { role: 'assistant', ...message(renderer.mark('r'), padding + renderer.mark('a')) };
    const shown = rendered(renderer, [asked, reply, asked], true);
    return shown === undefined || shown.marks[0] !== 'a' ? undefined : shown.literals[0];
  };
  const bare = before('');
  if (bare === undefined || before(PADDINGS.mixed.start) === bare) return 'white-space';
  return before(PADDINGS.lines.start) === bare ? 'line-breaks' : 'nothing';
}

/** The texts before reasoning, and between it and the answer, in the first of some conversations in which the template shows both. */
function endShown(
  renderer: TemplateRenderer,
  message: ReasoningStyle['message'],
): Pick<ReasoningStyle, 'start' | 'end'> | undefined {
  const [asked, reply] = [
    { role: 'user', content: 'x' },
    { role: 'assistant', ...message(renderer.mark('r'), renderer.mark('a')) },
  ];
  const conversations = [
    [asked, reply],
    [asked, reply, { role: 'tool', content: 'x' }],
    [asked, reply, asked],
  ];
  for (const [index, messages] of conversations.entries()) {
    const shown = shownBetween(renderer, messages, index > 0);
    if (shown !== undefined) return shown;
  }
  return undefined;
}

function shownBetween(renderer: TemplateRenderer, messages: readonly object[], generationPrompt: boolean) {
  const { literals, marks } = rendered(renderer, messages, generationPrompt) ?? { literals: [], marks: [] };
  const reasoning = marks.indexOf('r');
  if (reasoning === -1 || marks[reasoning + 1] !== 'a') return undefined;
  const end = (literals[reasoning + 1] as string).trim();
  if (end === '') return undefined;
  // What stands before the reasoning, without what a prompt ends with.
  const before = literals[reasoning] as string;
  const prompt = rendered(renderer, messages.slice(0, 1), true)?.literals[0] ?? '';
  const known = INLINE.find(({ start }) => before.trimEnd().endsWith(start))?.start;
  return { start: known ?? (before.startsWith(prompt) ? before.slice(prompt.length).trim() : ''), end };
}

/** `undefined` where the template refuses the conversation. */
function rendered(renderer: TemplateRenderer, messages: readonly object[], generationPrompt: boolean) {
  try {
    return renderer.splitAtMarks(renderer.render(messages, { generationPrompt }));
  } catch (error) {
    if (error instanceof TemplateRefusal) return undefined;
    throw error;
  }
}
