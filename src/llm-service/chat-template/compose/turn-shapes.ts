import type { TokenSequence } from '../../../domain/token-sequence.ts';
import type { LlmDescription } from '../../llm-service.ts';
import {
  type ConversationForm,
  type ConversationOutline,
  conversationForm,
  INSTRUCTIONS_MARK,
  messageMarks,
  PLAIN_REPLY,
  SYSTEM_MARK,
  type TurnForm,
  type TurnOutline,
} from '../classes/conversation-form.ts';
import type { TemplateFacts } from '../classes/template-classes.ts';
import { PADDINGS, TextEnds } from '../classes/text-ends.ts';
import { type ReasoningPolicy, type TurnChange, turnChange } from '../classes/turn-change.ts';
import { NO_TOOLS } from '../prompt-preamble.ts';
import type { TemplateRenderer } from '../template-renderer.ts';
import type { ChangeShape, ReplyEnd } from './change-shape.ts';
import type { FormLeads } from './form-leads.ts';
import type { PieceTokenizer } from './piece-tokenizer.ts';
import { type FormIds, formIds, type Lead, type SegmentShape } from './segment-shape.ts';
import type { Dated } from './shape-cache.ts';

export interface OpeningShape extends Dated {
  readonly segment: SegmentShape;
}

/** A new turn's segment, what of its lead a reply that ends in `end.id` has already, and how the turns before stand. */
export interface NextShape extends Dated {
  readonly segment: SegmentShape;
  readonly end: ReplyEnd;
  readonly changes: readonly (ChangeShape | undefined)[];
  /** Whether such a turn changes what is before all of these. */
  readonly reachesBeyond: boolean;
}

/** What stood before a conversation when its last turn was asked, where other things stand there now. */
export type Before = Pick<ConversationOutline, 'instructions' | 'tools'> & {
  /** Marks of contents that are others now. */
  readonly renewed: readonly string[];
};

export interface TurnShapesParts {
  readonly description: Pick<LlmDescription, 'endOfGeneration'>;
  readonly facts: TemplateFacts;
  readonly renderer: TemplateRenderer;
  readonly pieces: PieceTokenizer;
  readonly leads: FormLeads;
}

/** Renders turns of a kind with their contents taken out, and tokenizes what is left: the template's own part of a prompt. */
export class TurnShapes {
  readonly #parts: TurnShapesParts;

  constructor(parts: TurnShapesParts) {
    this.#parts = parts;
  }

  async opening(outline: ConversationOutline): Promise<OpeningShape> {
    const { turns, dates } = this.form(outline);
    return { segment: await this.#segment(outline, turns[0] as TurnForm, dates), dates };
  }

  /** `before`: where the conversation had another preamble when its last turn was asked. */
  async next(outline: ConversationOutline, before: Before | undefined, policy: ReasoningPolicy): Promise<NextShape> {
    const seen = policy === 'as-template' ? outline : withoutReasoning(outline);
    const had = this.form({ ...seen, ...preambleOf(before), turns: asked(seen.turns.slice(0, -1)) });
    const now = this.form(seen, had.dates);
    const newest = now.turns.at(-1) as TurnForm;
    const segment = await this.#segment(seen, newest, now.dates);
    const changes: (ChangeShape | undefined)[] = [];
    const renewed = before?.renewed;
    for (const [index, form] of had.turns.entries()) {
      const { reply } = outline.turns[index] as TurnOutline;
      const change = turnChange(form, now.turns[index] as TurnForm, reply, { policy, renewed });
      const opens = outline.fromStart && index === 0;
      changes.push(change && (await this.#change(change, opens ? this.#openingLead(outline) : undefined)));
    }
    return {
      segment,
      end: await this.#replyEnd(segment.form, newest.literals[0] as string),
      changes,
      reachesBeyond: had.before !== now.before,
      dates: now.dates,
    };
  }

  form(
    outline: ConversationOutline,
    dates?: ReadonlyMap<string, string>,
    padding?: (typeof PADDINGS)['mixed' | 'lines'],
  ): ConversationForm {
    const { renderer, facts } = this.#parts;
    return conversationForm(renderer, outline, {
      style: facts.style,
      calls: facts.calls,
      ...(dates !== undefined && { dates }),
      ...(padding !== undefined && { padding }),
    });
  }

  async #segment(
    outline: ConversationOutline,
    form: TurnForm,
    dates: ReadonlyMap<string, string>,
  ): Promise<SegmentShape> {
    const { messages } = outline.turns.at(-1) as TurnOutline;
    const opens = outline.fromStart && outline.turns.length === 1;
    const padded = (kind: keyof typeof PADDINGS) => this.form(outline, dates, PADDINGS[kind]).turns.at(-1) as TurnForm;
    const paddedForms = { mixed: padded('mixed'), lines: padded('lines') };
    const endsAt = (mark: string) => {
      const place = form.marks.indexOf(mark);
      const around = ({ literals }: TurnForm) => [literals[place] as string, literals[place + 1] as string] as const;
      return TextEnds.between(...around(form), (kind) => around(paddedForms[kind]));
    };
    return {
      form: await this.#formIds(form, opens ? this.#openingLead(outline) : undefined),
      messages,
      ends: messages.map(({ role }, message) =>
        endsAt(opens && message === 0 && role === 'system' ? SYSTEM_MARK : String(message)),
      ),
      instructionEnds: opens && outline.instructions ? endsAt(INSTRUCTIONS_MARK) : undefined,
    };
  }

  /** `opening`: what a session's first turn begins with, where this is it. `literals`: how many of the form's, where not all. */
  #formIds(form: TurnForm, opening: Lead | undefined, literals?: number): Promise<FormIds> {
    const { leads, pieces } = this.#parts;
    const first = form.literals[0] as string;
    const stands = opening !== undefined && (form.literals[opening.literal]?.startsWith(opening.text) ?? false);
    return formIds(form, {
      pieces,
      place: opening === undefined ? 'after-text' : 'start',
      bos: opening === undefined ? [] : leads.bosBefore(first),
      lead: opening === undefined ? leads.closingOf(first) : stands ? opening : leads.openingOf(form),
      ...(literals !== undefined && { literals }),
    });
  }

  async #change({ messages, reply }: TurnChange, opening: Lead | undefined): Promise<ChangeShape> {
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
    const { description, pieces } = this.#parts;
    const ids = literals[0] as TokenSequence;
    const known = ids.slice(0, lead.ids).findIndex((id) => description.endOfGeneration.has(id));
    if (known >= 0) return { id: ids[known], length: known + 1 };
    // A service may not name every end token, and some models end a reply with the token that opens the next message:
    // a control token at the very start that the reply has already is not written again.
    const [first] = ids;
    const [unparsed] = await pieces.content(text, 'continued');
    return first === undefined || first === unparsed ? { id: undefined, length: 0 } : { id: first, length: 1 };
  }

  /** What is not the first turn's own of how a session opens, in the words of its own prompt. */
  #openingLead(outline: ConversationOutline): Lead {
    const [first] = outline.turns as [TurnOutline];
    const opening = this.form({ ...outline, fromStart: true, turns: [{ ...first, reply: undefined }] });
    return this.#parts.leads.openingOf(opening.turns[0] as TurnForm);
  }
}

function preambleOf(before: Before | undefined): Partial<ConversationOutline> {
  return before === undefined ? {} : { instructions: before.instructions, tools: before.tools };
}

/** The same turns when the last of them was still to be answered. */
function asked(turns: readonly TurnOutline[]): TurnOutline[] {
  return turns.map((turn, index) => (index === turns.length - 1 ? { ...turn, reply: undefined } : turn));
}

function withoutReasoning(outline: ConversationOutline): ConversationOutline {
  const turns = outline.turns.map((turn) => ({ ...turn, reply: turn.reply && { ...turn.reply, reasoned: false } }));
  return { ...outline, turns };
}

/** A conversation that opens with a user's message and the system message before it, answered or not. */
export function opened(given: Partial<ConversationOutline>, answered: boolean): ConversationOutline {
  const roles = given.system ? (['system', 'user'] as const) : (['user'] as const);
  const first = { messages: roles.map((role) => ({ role })), reply: answered ? PLAIN_REPLY : undefined };
  const turns = answered ? [first, { messages: [{ role: 'user' as const }], reply: undefined }] : [first];
  return { system: false, instructions: false, tools: NO_TOOLS, fromStart: true, ...given, turns };
}
