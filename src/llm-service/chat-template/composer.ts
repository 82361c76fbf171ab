import type { Role, TextMessage } from '../../domain/record/turn-record.ts';
import type { TokenId, TokenSequence } from '../../domain/token-sequence.ts';
import type { LlmDescription } from '../llm-service.ts';
import { type ChangeShape, changed, joined, type ReplyEnd, skipAfter } from './change-shape.ts';
import type { Continuation, Conversation, ConversationTurn } from './conversation.ts';
import {
  type ConversationOutline,
  conversationForm,
  messageMarks,
  SYSTEM_MARK,
  type TurnForm,
  type TurnOutline,
} from './conversation-form.ts';
import { type WindowRule, windowStart } from './conversation-window.ts';
import { type PieceTokenizer, startsWith } from './piece-tokenizer.ts';
import { type FormIds, fillSegment, formIds, type Lead, type SegmentShape, type TurnSegment } from './segment-shape.ts';
import { type Dated, ShapeCache } from './shape-cache.ts';
import type { TemplateFacts } from './template-classes.ts';
import { TemplateRefusal, type TemplateRenderer } from './template-renderer.ts';
import { PADDINGS, TextEnds } from './text-ends.ts';
import { type ReasoningPolicy, type TurnChange, turnChange } from './turn-change.ts';

export interface ComposerParts {
  readonly description: LlmDescription;
  readonly facts: TemplateFacts;
  readonly renderer: TemplateRenderer;
  readonly pieces: PieceTokenizer;
}

/** A new turn's segment, and what of its lead a reply that ends in `end.id` has already. */
interface NextShape extends Dated {
  readonly segment: SegmentShape;
  readonly end: ReplyEnd;
  readonly changes: readonly (ChangeShape | undefined)[];
  /** Whether such a turn changes what is before all of these. */
  readonly reachesBeyond: boolean;
}

/**
 * Composes prompts of contents' ids and a template's. What the template's part is depends on the kind of a turn and its
 * place only, so it is rendered and tokenized once for each kind, and a turn costs one tokenize call for each new message
 * and no template run. Every method throws {@link TemplateRefusal}.
 */
export class Composer {
  readonly #parts: ComposerParts;
  readonly #openings: ShapeCache<Dated & { readonly segment: SegmentShape }>;
  readonly #continuations: ShapeCache<NextShape>;

  constructor(parts: ComposerParts) {
    this.#parts = parts;
    this.#openings = new ShapeCache(parts.renderer);
    this.#continuations = new ShapeCache(parts.renderer);
  }

  async open(messages: readonly TextMessage[]): Promise<TurnSegment> {
    const roles = messages.map(({ role }) => role);
    const { segment } = await this.#openings.get(roles.join(), () => this.#openingShape(roles));
    return fillSegment(segment, messages, { pieces: this.#parts.pieces, skip: 0, system: undefined });
  }

  async goOn(
    conversation: Conversation,
    messages: readonly TextMessage[],
    policy: ReasoningPolicy,
  ): Promise<Continuation> {
    const roles = messages.map(({ role }) => role);
    const { shape, changes } = await this.#next(conversation, { roles, promptIds: undefined }, policy);
    const { turns, system } = conversation;
    const skip = skipAfter(changes.at(-1)?.reply ?? turns.at(-1)?.replyIds, shape.end);
    const segment = await fillSegment(shape.segment, messages, { pieces: this.#parts.pieces, skip, system });
    return { changes, segment };
  }

  async turnsUnder(
    conversation: Conversation,
    next: Pick<ConversationTurn, 'roles' | 'promptIds'>,
    policy: ReasoningPolicy,
  ): Promise<Continuation['changes']> {
    return (await this.#next(conversation, next, policy)).changes;
  }

  /** `promptIds` of a next turn that was written before, by this rule or an earlier one. */
  async #next(
    conversation: Conversation,
    next: { readonly roles: readonly Role[]; readonly promptIds: TokenSequence | undefined },
    policy: ReasoningPolicy,
    rule: WindowRule = this.#parts.facts.window,
  ): Promise<{ shape: NextShape; changes: Continuation['changes'] }> {
    const { turns, fromStart, system } = conversation;
    const start = windowStart(turns, rule);
    const window = turns.slice(start);
    const outline = {
      system: system !== undefined,
      fromStart: fromStart && start === 0,
      turns: [...window.map(outlineOf), { roles: next.roles, reply: undefined }],
    };
    const shape = await this.#continuations.get(keyOf(outline, policy), () => this.#nextShape(outline, policy));
    if (shape.reachesBeyond && start > 0) return this.#next(conversation, next, policy, 'whole');
    const changes = window.map((turn, index) =>
      changed(turn, shape.changes[index], { system, replyBefore: turns[start + index - 1]?.replyIds }),
    );
    const [newest] = turns.slice(-1);
    if (newest !== undefined && this.#endsOtherwise(newest, shape, next.promptIds)) {
      const { messages, reply = joined(newest.generationPrompt, newest.replyIds) } = changes.pop() ?? {};
      changes.push({ messages, reply: reply.slice(0, -1), losesEnd: true });
    }
    return { shape, changes };
  }

  /** Whether a reply ended by another token than what the template writes after it here, which takes that one's place. */
  #endsOtherwise(
    { ended, replyIds }: ConversationTurn,
    { end, segment }: NextShape,
    promptIds: TokenSequence | undefined,
  ): boolean {
    const last = replyIds.at(-1);
    const closing = (segment.form.literals[0] as TokenSequence).slice(0, end.length);
    if (!ended || last === undefined || last === closing.at(-1)) return false;
    // A service that has lost ids of a reply may have lost its end.
    if (!this.#parts.description.endOfGeneration.has(last)) return false;
    return promptIds === undefined || startsWith(promptIds, closing);
  }

  /** Whether the system message does not go with turn 1: it stands before the first message, or in a later turn. */
  keepsSystem(): boolean {
    try {
      const opening = this.#form({
        system: true,
        fromStart: true,
        turns: [{ roles: ['system', 'user'], reply: undefined }],
      });
      const [first] = opening.turns;
      if (first !== undefined && this.#preambleOf(first) !== undefined) return true;
      const turns: TurnOutline[] = [
        { roles: ['system', 'user'], reply: 'plain' },
        { roles: ['user'], reply: undefined },
      ];
      return !this.#form({ system: true, fromStart: true, turns }).turns[0]?.marks.includes(SYSTEM_MARK);
    } catch (error) {
      if (error instanceof TemplateRefusal) return false;
      throw error;
    }
  }

  /** The BOS id where the model wants one and the template does not write it. */
  bosBefore(first: string): TokenId[] {
    const { bosText, prependBos } = this.#parts.description;
    const written = bosText !== '' && first.startsWith(bosText);
    return prependBos === undefined || written ? [] : [prependBos];
  }

  async #openingShape(roles: readonly Role[]): Promise<Dated & { readonly segment: SegmentShape }> {
    const outline = { system: roles[0] === 'system', fromStart: true, turns: [{ roles, reply: undefined }] };
    const { turns, dates } = this.#form(outline);
    return { segment: await this.#segmentShape(outline, turns[0] as TurnForm, dates), dates };
  }

  async #nextShape(outline: ConversationOutline, policy: ReasoningPolicy): Promise<NextShape> {
    const seen = policy === 'as-template' ? outline : withoutReasoning(outline);
    const before = this.#form({ ...seen, turns: asked(seen.turns.slice(0, -1)) });
    const now = this.#form(seen, before.dates);
    const newest = now.turns.at(-1) as TurnForm;
    const segment = await this.#segmentShape(seen, newest, now.dates);
    const changes: (ChangeShape | undefined)[] = [];
    for (const [index, form] of before.turns.entries()) {
      const { reply } = outline.turns[index] as TurnOutline;
      const change = turnChange(form, now.turns[index] as TurnForm, reply, policy);
      const opens = outline.fromStart && index === 0;
      changes.push(change && (await this.#changeShape(change, opens ? this.#openingLead(outline) : undefined)));
    }
    return {
      segment,
      end: await this.#replyEnd(segment.form, newest.literals[0] as string),
      changes,
      reachesBeyond: before.before !== now.before,
      dates: now.dates,
    };
  }

  async #segmentShape(
    outline: ConversationOutline,
    form: TurnForm,
    dates: ReadonlyMap<string, string>,
  ): Promise<SegmentShape> {
    const { roles } = outline.turns.at(-1) as TurnOutline;
    const opens = outline.fromStart && outline.turns.length === 1;
    const padded = (kind: keyof typeof PADDINGS) => this.#form(outline, dates, PADDINGS[kind]).turns.at(-1) as TurnForm;
    const paddedForms = { mixed: padded('mixed'), lines: padded('lines') };
    const ends = roles.map((_, message) => {
      const place = form.marks.indexOf(opens && message === 0 && roles[0] === 'system' ? SYSTEM_MARK : String(message));
      const around = ({ literals }: TurnForm) => [literals[place] as string, literals[place + 1] as string] as const;
      return TextEnds.between(...around(form), (kind) => around(paddedForms[kind]));
    });
    return { form: await this.#formIds(form, opens ? this.#openingLead(outline) : undefined), roles, ends };
  }

  /** `opening`: what a session's first turn begins with, where this is it. `literals`: how many of the form's, where not all. */
  #formIds(form: TurnForm, opening: Lead | undefined, literals?: number): Promise<FormIds> {
    const first = form.literals[0] as string;
    const stands = opening !== undefined && (form.literals[opening.literal]?.startsWith(opening.text) ?? false);
    return formIds(form, {
      pieces: this.#parts.pieces,
      place: opening === undefined ? 'after-text' : 'start',
      bos: opening === undefined ? [] : this.bosBefore(first),
      lead:
        opening === undefined
          ? this.#closingOf(first)
          : stands
            ? opening
            : (this.#preambleOf(form) ?? this.#bosOnly(first)),
      ...(literals !== undefined && { literals }),
    });
  }

  async #changeShape({ messages, reply }: TurnChange, opening: Lead | undefined): Promise<ChangeShape> {
    const { pieces } = this.#parts;
    const form = messages && (await this.#formIds(messages, opening, messageMarks(messages)));
    return {
      messages: form && { form, end: await this.#replyEnd(form, messages?.literals[0] as string) },
      reply:
        reply === undefined || reply === 'written'
          ? reply
          : {
              literal: await pieces.literal(reply.literal, 'after-text'),
              unless: reply.unless === undefined ? undefined : await pieces.literal(reply.unless, 'after-text'),
            },
    };
  }

  async #replyEnd({ literals, lead }: FormIds, text: string): Promise<ReplyEnd> {
    const { endOfGeneration } = this.#parts.description;
    const ids = literals[0] as TokenSequence;
    const known = ids.slice(0, lead.ids).findIndex((id) => endOfGeneration.has(id));
    if (known >= 0) return { id: ids[known], length: known + 1 };
    // A service may not name every end token, and some models end a reply with the token that opens the next message:
    // a control token at the very start that the reply has already is not written again.
    const [first] = ids;
    const [unparsed] = await this.#parts.pieces.content(text, 'continued');
    return first === undefined || first === unparsed ? { id: undefined, length: 0 } : { id: first, length: 1 };
  }

  /** The text before the first user message's opener, and the literal that it ends in. */
  #preambleOf({ literals, marks }: TurnForm): Lead | undefined {
    const { opener } = this.#parts.facts;
    const literal = marks.findIndex((mark) => mark !== SYSTEM_MARK);
    const text = literals[literal];
    if (opener === undefined || text === undefined || !text.endsWith(opener)) return undefined;
    return { literal, text: text.slice(0, text.length - opener.length) };
  }

  /** The end of the previous reply, at the beginning of a turn. */
  #closingOf(first: string): Lead {
    const closing = this.#parts.facts.closing ?? '';
    return { literal: 0, text: first.startsWith(closing) ? closing : '' };
  }

  /** BOS as text, unless every turn opens with one of its own. */
  #bosOnly(first: string): Lead {
    const { bosText } = this.#parts.description;
    const opensEveryTurn = this.#parts.facts.opener?.startsWith(bosText) ?? false;
    return { literal: 0, text: first.startsWith(bosText) && !opensEveryTurn ? bosText : '' };
  }

  /** What is not the first turn's own of how a session opens, in the words of its own prompt: BOS, system message. */
  #openingLead({ system, turns }: ConversationOutline): Lead {
    const [first] = turns as [TurnOutline];
    const opening = this.#form({ system, fromStart: true, turns: [{ ...first, reply: undefined }] })
      .turns[0] as TurnForm;
    return this.#preambleOf(opening) ?? this.#bosOnly(opening.literals[0] as string);
  }

  #form(
    outline: ConversationOutline,
    dates?: ReadonlyMap<string, string>,
    padding?: (typeof PADDINGS)['mixed' | 'lines'],
  ) {
    const { renderer, facts } = this.#parts;
    return conversationForm(renderer, outline, {
      style: facts.style,
      ...(dates !== undefined && { dates }),
      ...(padding !== undefined && { padding }),
    });
  }
}

function outlineOf({ roles, reasoningLength }: ConversationTurn): TurnOutline {
  return { roles, reply: reasoningLength > 0 ? 'reasoned' : 'plain' };
}

/** The same turns when the last of them was still to be answered. */
function asked(turns: readonly TurnOutline[]): TurnOutline[] {
  return turns.map((turn, index) => (index === turns.length - 1 ? { ...turn, reply: undefined } : turn));
}

function withoutReasoning(outline: ConversationOutline): ConversationOutline {
  const turns = outline.turns.map((turn) => ({ ...turn, reply: turn.reply && ('plain' as const) }));
  return { ...outline, turns };
}

function keyOf({ system, fromStart, turns }: ConversationOutline, policy: ReasoningPolicy): string {
  const kinds = turns.map(({ roles, reply }) => `${roles.join()}>${reply ?? ''}`);
  return [policy, system ? 'system' : '', fromStart ? 'start' : '', ...kinds].join('|');
}
