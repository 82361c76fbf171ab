import type { MessageSpan } from '../../../domain/record/turn-record.ts';
import { appendTokens, commonPrefixLength, type TokenId, type TokenSequence } from '../../../domain/token-sequence.ts';
import type { CallSyntax } from '../classes/call-syntax.ts';
import { INSTRUCTIONS_MARK, type MessageOutline, SYSTEM_MARK, type TurnForm } from '../classes/conversation-form.ts';
import type { TextEnds } from '../classes/text-ends.ts';
import type { TemplateMessage } from '../template-message.ts';
import { callTexts } from './call-texts.ts';
import type { ContentStyle, KnownPieces, PieceTokenizer, Place } from './piece-tokenizer.ts';

/** One turn's part of the prompt. */
export interface TurnSegment {
  readonly ids: TokenId[];
  /**
   * Which of `ids` are the content of each message, in order. Where the template writes a space before a content, the
   * first id may carry it.
   */
  readonly spans: MessageSpan[];
  /** How many ids of each message's content say something before it calls tools; 0 where it does not do both. */
  readonly saidLengths: readonly number[];
  /**
   * Leading ids that are not this turn's own: in turn 1 the preamble (BOS, system message), later the end of the
   * previous reply.
   */
  readonly leadLength: number;
}

/** The ids of a form's literals, and what stands between them. */
export interface FormIds {
  /** The ids of literal i, then those of the content that mark i stands for. */
  readonly literals: readonly TokenSequence[];
  readonly marks: readonly string[];
  readonly styles: readonly ContentStyle[];
  /** The lead ends `ids` ids into literal `literal`. */
  readonly lead: { readonly literal: number; readonly ids: number };
}

/** The beginning of a turn that is not its own: text at the beginning of one of its literals. */
export interface Lead {
  readonly literal: number;
  readonly text: string;
}

/** Tokenizes the first `literals` of a form's literals. */
export async function formIds(
  form: TurnForm,
  options: {
    readonly pieces: PieceTokenizer;
    readonly place: Place;
    readonly bos: TokenSequence;
    readonly lead: Lead;
    readonly literals?: number;
  },
): Promise<FormIds> {
  const { pieces, lead, bos, literals: count = form.literals.length } = options;
  const placeOf = (index: number): Place => (index === 0 ? options.place : 'after-text');
  const literals: TokenSequence[] = [];
  const styles: ContentStyle[] = [];
  for (const [index, text] of form.literals.slice(0, count).entries()) {
    if (index >= form.marks.length) {
      literals.push(await pieces.literal(text, placeOf(index)));
      continue;
    }
    const { ids, style } = await pieces.seam(text, placeOf(index));
    literals.push(ids);
    styles.push(style);
  }
  // Where a token reaches over the lead's end, it counts as the turn's own.
  const leadIds = await pieces.literal(lead.text, placeOf(lead.literal));
  let ids = commonPrefixLength(leadIds, literals[lead.literal] ?? []);
  if (bos.length > 0) {
    literals[0] = [...bos, ...(literals[0] ?? [])];
    if (lead.literal === 0) ids += bos.length;
  }
  return { literals, marks: form.marks.slice(0, count), styles, lead: { literal: lead.literal, ids } };
}

/** Everything about a new turn's segment that does not depend on its messages' contents. */
export interface SegmentShape {
  readonly form: FormIds;
  readonly messages: readonly MessageOutline[];
  /** What the template removes at the ends of each message. */
  readonly ends: readonly TextEnds[];
  /** The same of the instructions before a session's first turn. */
  readonly instructionEnds: TextEnds | undefined;
}

/** Contents that stand before the conversation, or wherever a template puts them. */
export interface StandingContents {
  readonly system: TokenSequence | undefined;
  /** What of it is not the session's, and stands before a system message that a turn opens with; absent: nothing. */
  readonly systemLead?: TokenSequence;
  readonly instructions: TokenSequence | undefined;
}

/** Puts the ids of the contents between the shape's; leaves out the first `skip` ids, which the reply before has already. */
export async function fillSegment(
  { form, messages: outlines, ends }: SegmentShape,
  messages: readonly TemplateMessage[],
  options: {
    readonly pieces: PieceTokenizer;
    readonly calls: CallSyntax | undefined;
    readonly skip: number;
    readonly before: StandingContents;
    /** The messages' contents, as far as they are tokenized. */
    readonly known: KnownPieces | undefined;
  },
): Promise<TurnSegment> {
  const { pieces, calls, before } = options;
  const own = form.marks.map((mark) => messageOf(mark, outlines));
  const asked = own.flatMap((message, index) => {
    if (message === undefined) return [];
    const said = messages[message] as TemplateMessage;
    const style = form.styles[index] as ContentStyle;
    if (said.calls !== undefined) return callPieces(said, calls, style).map((piece) => ({ message, ...piece }));
    return [{ message, texts: [{ text: (ends[message] as TextEnds).removedFrom(said.content) }], style }];
  });
  const tokenized = outlines.map((): TokenSequence[] => []);
  for (const [piece, ids] of (await pieces.contents(asked, options.known)).entries())
    tokenized[asked[piece]?.message as number]?.push(ids);
  const leads = form.marks.map((mark) => (mark === SYSTEM_MARK ? (before.systemLead ?? []) : []));
  const contents = own.map((message, index) => {
    if (message === undefined) return standing(form.marks[index] as string, before) ?? [];
    return [...(leads[index] as TokenSequence), ...(tokenized[message] as TokenSequence[]).flat()];
  });
  const { ids, starts, leadLength } = fillForm(form, contents, options.skip);
  const places = new Map(own.map((message, place) => [message, place]));
  const spans = outlines.map(({ role }, message) => {
    const place = places.get(message) as number;
    const { length: lead } = leads[place] as TokenSequence;
    return { role, start: (starts[place] as number) + lead, length: (contents[place] as TokenSequence).length - lead };
  });
  const saidLengths = tokenized.map(([text, call]) => (call === undefined ? 0 : (text as TokenSequence).length));
  return { ids, spans, saidLengths, leadLength };
}

/** What a message says, where it says something, and then its calls. */
function callPieces(message: TemplateMessage, syntax: CallSyntax | undefined, style: ContentStyle) {
  const texts = callTexts(message, syntax);
  const [first, ...others] = texts;
  if (first === undefined || first.isTemplate) return [{ texts, style }];
  return [
    { texts: [first], style },
    { texts: others, style: 'continued' as const },
  ];
}

/** What a mark of contents before the conversation stands for; `undefined` for a turn's own. */
export function standing(mark: string, { system, instructions }: StandingContents): TokenSequence | undefined {
  if (mark === INSTRUCTIONS_MARK) return instructions ?? [];
  return mark === SYSTEM_MARK ? (system ?? []) : undefined;
}

/** A form's ids with contents in their places. */
export function fillForm(
  { literals, lead }: FormIds,
  contents: readonly TokenSequence[],
  skip = 0,
): { ids: TokenId[]; starts: number[]; leadLength: number } {
  const ids: TokenId[] = [];
  const starts: number[] = [];
  let leadLength = 0;
  for (const [index, literal] of literals.entries()) {
    if (index === lead.literal) leadLength = ids.length + lead.ids;
    appendTokens(ids, index === 0 ? literal.slice(skip) : literal);
    const content = contents[index];
    if (content === undefined) break;
    starts.push(ids.length);
    appendTokens(ids, content);
  }
  return { ids, starts, leadLength: lead.literal === 0 ? Math.max(0, leadLength - skip) : leadLength };
}

/** The message that a mark stands for; `undefined` for what stands before the conversation. */
function messageOf(mark: string, messages: readonly MessageOutline[]): number | undefined {
  if (mark === INSTRUCTIONS_MARK) return undefined;
  if (mark !== SYSTEM_MARK) return Number(mark);
  return messages[0]?.role === 'system' ? 0 : undefined;
}
