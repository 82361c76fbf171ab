import { type CallSyntax, callIdIn } from '../classes/call-syntax.ts';
import type { TemplateCall, TemplateMessage } from '../template-message.ts';
import { TemplateRefusal } from '../template-renderer.ts';

export interface WrittenText {
  readonly text: string;
  /** The template's own words, with its control tokens; otherwise text that means nothing to it. */
  readonly isTemplate?: true;
}

/**
 * An assistant's message with its calls, as the template writes it. Throws {@link TemplateRefusal} where the template cannot
 * write so many calls, or calls beside a text.
 */
export function callTexts({ content, calls = [] }: TemplateMessage, syntax: CallSyntax | undefined): WrittenText[] {
  if (syntax === undefined) throw new TemplateRefusal('knows no calls of tools');
  const { head, join, afterText, middle, tail } = syntax;
  if (calls.length > 1 && join === undefined) throw new TemplateRefusal('knows one call in a reply');
  const beside = content.trim() === '' ? undefined : afterText;
  // Some templates leave out what is said beside a call.
  const texts: WrittenText[] = beside === undefined ? [] : [{ text: content }];
  for (const [place, call] of calls.entries()) {
    const before =
      place === 0 ? (beside ?? head.trimStart()) : (join as string).replace(callIdIn(0), callIdIn(place - 1));
    texts.push({ text: before + call.name + middle, isTemplate: true }, ...argumentTexts(call, syntax));
  }
  texts.push({ text: tail.replace(callIdIn(0), callIdIn(calls.length - 1)), isTemplate: true });
  return joined(texts);
}

function argumentTexts({ arguments: given }: TemplateCall, syntax: CallSyntax): WrittenText[] {
  const values = objectOf(given);
  const { arguments: how } = syntax;
  if (how.form === 'json') return [{ text: values === undefined ? given : jsonText(values) }];
  return Object.entries(values ?? {}).flatMap(([name, value]) => [
    { text: how.beforeName, isTemplate: true as const },
    { text: name },
    { text: how.beforeValue, isTemplate: true as const },
    { text: typeof value === 'string' ? value : jsonText(value) },
    { text: how.afterValue, isTemplate: true as const },
  ]);
}

function objectOf(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** As Python writes it, which is what models have read. No line break of a JSON text is inside a string. */
function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 1)
    .replace(/([[{])\n\s*/g, '$1')
    .replace(/\n\s*([\]}])/g, '$1')
    .replace(/\n\s*/g, ' ');
}

/** Neighbours of a kind as one text. */
function joined(texts: readonly WrittenText[]): WrittenText[] {
  const all: WrittenText[] = [];
  for (const text of texts) {
    const last = all.at(-1);
    if (text.text === '') continue;
    if (last !== undefined && last.isTemplate === text.isTemplate)
      all[all.length - 1] = { ...last, text: last.text + text.text };
    else all.push(text);
  }
  return all;
}
