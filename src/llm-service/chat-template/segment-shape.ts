import type { MessageSpan, Role, TextMessage } from '../../domain/record/turn-record.ts';
import { appendTokens, commonPrefixLength, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import { SYSTEM_MARK, type TurnForm } from './conversation-form.ts';
import type { ContentStyle, PieceTokenizer, Place } from './piece-tokenizer.ts';
import type { TextEnds } from './text-ends.ts';

/** One turn's part of the prompt. */
export interface TurnSegment {
  readonly ids: TokenId[];
  /**
   * Which of `ids` are the content of each message, in order. Where the template writes a space before a content, the
   * first id may carry it.
   */
  readonly spans: MessageSpan[];
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
  readonly roles: readonly Role[];
  /** What the template removes at the ends of each message. */
  readonly ends: readonly TextEnds[];
}

/** Puts the ids of the contents between the shape's; leaves out the first `skip` ids, which the reply before has already. */
export async function fillSegment(
  { form, roles, ends }: SegmentShape,
  messages: readonly TextMessage[],
  options: { readonly pieces: PieceTokenizer; readonly skip: number; readonly system: TokenSequence | undefined },
): Promise<TurnSegment> {
  const own = form.marks.map((mark) => messageOf(mark, roles));
  const asked = own.flatMap((message, index) => {
    if (message === undefined) return [];
    const text = (ends[message] as TextEnds).removedFrom((messages[message] as TextMessage).content);
    return [{ text, style: form.styles[index] as ContentStyle }];
  });
  const tokenized = await options.pieces.contents(asked);
  let next = 0;
  const contents = own.map((message) =>
    message === undefined ? (options.system ?? []) : (tokenized[next++] as TokenSequence),
  );
  const { ids, starts, leadLength } = fillForm(form, contents, options.skip);
  const spans: (MessageSpan & { readonly message: number })[] = own.flatMap((message, index) =>
    message === undefined
      ? []
      : [
          {
            message,
            role: roles[message] as Role,
            start: starts[index] as number,
            length: (contents[index] as TokenSequence).length,
          },
        ],
  );
  spans.sort((a, b) => a.message - b.message);
  return { ids, spans: spans.map(({ role, start, length }) => ({ role, start, length })), leadLength };
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

/** The message that a mark stands for; `undefined` for the system message of an earlier turn. */
function messageOf(mark: string, roles: readonly Role[]): number | undefined {
  if (mark !== SYSTEM_MARK) return Number(mark);
  return roles[0] === 'system' ? 0 : undefined;
}
