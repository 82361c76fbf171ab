import type { MessageSpan, TextMessage } from '../../domain/record/turn-record.ts';
import { appendTokens, commonPrefixLength, type TokenId, type TokenSequence } from '../../domain/token-sequence.ts';
import type { ContentStyle, PieceTokenizer, Place } from './piece-tokenizer.ts';
import type { Skeleton, Slot } from './template-renderer.ts';

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

/**
 * Everything about a segment that does not depend on its messages' contents, as ids: computed once per sequence of
 * roles, so that a turn costs one tokenize call per message and no template run.
 */
export interface SegmentShape {
  /** Ids before the first content, then those after each content. */
  readonly literals: readonly TokenSequence[];
  readonly slots: readonly (Slot & { readonly style: ContentStyle })[];
  /** The lead ends `ids` ids into literal `literal`. */
  readonly lead: { readonly literal: number; readonly ids: number };
  /** The dates that the template printed into the literals. */
  readonly dates: Skeleton['dates'];
}

/** Tokenizes a skeleton's literals. `lead` is text at the beginning of literal `lead.literal`. */
export async function segmentShape(
  skeleton: Omit<Skeleton, 'text'>,
  options: { pieces: PieceTokenizer; place: Place; lead: { literal: number; text: string } },
): Promise<SegmentShape> {
  const { pieces, lead } = options;
  const literals: TokenSequence[] = [];
  const slots: (Slot & { style: ContentStyle })[] = [];
  const placeOf = (index: number): Place => (index === 0 ? options.place : 'after-text');
  for (const [index, slot] of skeleton.slots.entries()) {
    const { ids, style } = await pieces.seam(skeleton.literals[index] as string, placeOf(index));
    literals.push(ids);
    slots.push({ ...slot, style });
  }
  const last = skeleton.slots.length;
  literals.push(await pieces.literal(skeleton.literals[last] as string, placeOf(last)));
  // Where a token reaches over the lead's end, it counts as the turn's own.
  const leadIds = await pieces.literal(lead.text, placeOf(lead.literal));
  const ids = commonPrefixLength(leadIds, literals[lead.literal] as TokenSequence);
  return { literals, slots, lead: { literal: lead.literal, ids }, dates: skeleton.dates };
}

/** Puts the ids of the contents between the shape's; leaves out the first `skip` ids, which the reply has already. */
export async function fillShape(
  shape: SegmentShape,
  messages: readonly TextMessage[],
  options: { pieces: PieceTokenizer; skip: number },
): Promise<TurnSegment> {
  const contents = await options.pieces.contents(
    shape.slots.map((slot, index) => ({
      text: trimmed((messages[index] as TextMessage).content, slot),
      style: slot.style,
    })),
  );
  const ids: TokenId[] = [];
  const spans: MessageSpan[] = [];
  let leadLength = 0;
  for (const [index, literal] of shape.literals.entries()) {
    if (index === shape.lead.literal) leadLength = ids.length + shape.lead.ids;
    appendTokens(ids, index === 0 ? literal.slice(options.skip) : literal);
    const slot = shape.slots[index];
    if (slot === undefined) break;
    const content = contents[index] as TokenSequence;
    spans.push({ role: slot.role, start: ids.length, length: content.length });
    appendTokens(ids, content);
  }
  if (shape.lead.literal === 0) leadLength = Math.max(0, leadLength - options.skip);
  return { ids, spans, leadLength };
}

function trimmed(content: string, slot: Slot): string {
  const start = slot.trimsStart ? content.trimStart() : content;
  return slot.trimsEnd ? start.trimEnd() : start;
}
