import { type ConversationOutline, conversationForm, PLAIN_REPLY } from '../classes/conversation-form.ts';
import type { TemplateFacts } from '../classes/template-classes.ts';
import { NO_TOOLS } from '../prompt-preamble.ts';
import { TemplateRefusal, type TemplateRenderer } from '../template-renderer.ts';
import { callMarks } from './call-marks.ts';
import type { ReplySyntax } from './reply-parser.ts';

/** How replies are taken apart, from how the template writes them. */
export function replySyntax(renderer: TemplateRenderer, facts: Pick<TemplateFacts, 'style' | 'calls'>): ReplySyntax {
  const { style, calls } = facts;
  const marks = calls && callMarks(calls);
  const tags = answerStart(renderer, facts).match(/<[^<>]+>|\[[^[\]]+\]/g);
  const first = tags?.[0];
  const answer = first === undefined ? undefined : { first, last: tags?.at(-1) ?? first };
  const end = style?.end ?? '';
  // Reasoning that a call follows ends as that before an answer does, but for what begins the answer.
  const shared = answer === undefined ? -1 : end.indexOf(answer.first);
  const thinking = style && { start: style.start.trim(), end: shared > 0 ? end.slice(0, shared) : end };
  return { thinking, answer, calls: marks };
}

/** What a template writes between its prompt and an answer, which models write themselves. */
function answerStart(renderer: TemplateRenderer, { style, calls }: Pick<TemplateFacts, 'style' | 'calls'>): string {
  const outline = (answered: boolean): ConversationOutline => ({
    ...{ system: false, instructions: false, tools: NO_TOOLS, fromStart: true },
    turns: [
      { messages: [{ role: 'user' }], reply: answered ? PLAIN_REPLY : undefined },
      ...(answered ? [{ messages: [{ role: 'user' as const }], reply: undefined }] : []),
    ],
  });
  try {
    const asked = conversationForm(renderer, outline(false), { style, calls }).turns[0]?.literals.at(-1) ?? '';
    const before = conversationForm(renderer, outline(true), { style, calls }).turns[0]?.literals.at(-1) ?? '';
    // An empty block of reasoning is a start like any other.
    return before.startsWith(asked) ? before.slice(asked.length).trim() : '';
  } catch (error) {
    if (error instanceof TemplateRefusal) return '';
    throw error;
  }
}
