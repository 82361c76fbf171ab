import type { TokenId, TokenSequence } from '../../../domain/token-sequence.ts';
import type { LlmDescription } from '../../llm-service.ts';
import {
  type ConversationOutline,
  INSTRUCTIONS_MARK,
  SYSTEM_MARK,
  type TurnOutline,
} from '../classes/conversation-form.ts';
import { type WindowRule, windowStart } from '../classes/conversation-window.ts';
import type { TemplateFacts } from '../classes/template-classes.ts';
import type { ReasoningPolicy } from '../classes/turn-change.ts';
import { type PromptPreamble, sameIds, samePreamble, type ToolList } from '../prompt-preamble.ts';
import { outlineKey, outlineOf, type TemplateMessage } from '../template-message.ts';
import { TemplateRefusal, type TemplateRenderer } from '../template-renderer.ts';
import { changed, joined, skipAfter } from './change-shape.ts';
import type { Continuation, Conversation, ConversationTurn, NextTurn } from './conversation.ts';
import { FormLeads } from './form-leads.ts';
import { type ContentStyle, type KnownPieces, type PieceTokenizer, startsWith } from './piece-tokenizer.ts';
import { fillForm, fillSegment, standing, type TurnSegment } from './segment-shape.ts';
import { ShapeCache } from './shape-cache.ts';
import { saysInstructions, standingUnder } from './standing-contents.ts';
import { type Before, type NextShape, type OpeningShape, opened, TurnShapes } from './turn-shapes.ts';

export interface ComposerParts {
  readonly description: LlmDescription;
  readonly facts: TemplateFacts;
  readonly renderer: TemplateRenderer;
  readonly pieces: PieceTokenizer;
}

/**
 * Composes prompts of contents' ids and a template's. What the template's part is depends on the kind of a turn and its
 * place only, so it is rendered and tokenized once for each kind, and a turn costs one tokenize call for each new message
 * and no template run. Every method throws {@link TemplateRefusal}.
 */
export class Composer {
  readonly #parts: ComposerParts;
  readonly #leads: FormLeads;
  readonly #shapes: TurnShapes;
  readonly #openings: ShapeCache<OpeningShape>;
  readonly #continuations: ShapeCache<NextShape>;
  /** Messages of prompts with layers, for their record, which is composed without: they are tokenized once. */
  readonly #said = new WeakMap<readonly TemplateMessage[], KnownPieces>();

  constructor(parts: ComposerParts) {
    this.#parts = parts;
    this.#leads = new FormLeads(parts.description, parts.facts);
    this.#shapes = new TurnShapes({ ...parts, leads: this.#leads });
    this.#openings = new ShapeCache(parts.renderer);
    this.#continuations = new ShapeCache(parts.renderer);
  }

  async open(messages: readonly TemplateMessage[], preamble: PromptPreamble): Promise<TurnSegment> {
    const { segment } = await this.#opening(messages.map(outlineOf), preamble);
    const before = standingUnder(preamble, messages[0]?.role === 'system' ? [] : undefined);
    return this.#fill(segment, messages, { skip: 0, before, known: this.#known(messages, preamble) });
  }

  async goOn(
    conversation: Conversation,
    messages: readonly TemplateMessage[],
    { preamble, policy }: { readonly preamble: PromptPreamble; readonly policy: ReasoningPolicy },
  ): Promise<Continuation> {
    const asked = { messages: messages.map(outlineOf), preamble, promptIds: undefined };
    const { shape, ...under } = await this.#next(conversation, asked, policy);
    const { turns, system } = conversation;
    const skip = skipAfter(under.changes.at(-1)?.reply ?? turns.at(-1)?.replyIds, shape.end);
    const [before, known] = [standingUnder(preamble, system), this.#known(messages, preamble)];
    const segment = await this.#fill(shape.segment, messages, { skip, before, known });
    return { ...under, segment };
  }

  /** `promptIds` of a next turn that was written before, by this rule or an earlier one. */
  async turnsUnder(
    conversation: Conversation,
    next: NextTurn & Pick<ConversationTurn, 'promptIds'>,
    policy: ReasoningPolicy,
  ): Promise<Omit<Continuation, 'segment'>> {
    const { shape: _, ...under } = await this.#next(conversation, next, policy);
    return under;
  }

  /** Of instructions, as they stand before a conversation that a user opens. */
  async instructionIds(text: string, tools: ToolList): Promise<TokenSequence> {
    const shape = await this.#opening([{ role: 'user' }], { instructions: [], tools });
    const { form, instructionEnds } = shape.segment;
    const style = form.styles[form.marks.indexOf(INSTRUCTIONS_MARK)] as ContentStyle;
    return this.#parts.pieces.content(instructionEnds?.removedFrom(text) ?? text, style);
  }

  /** Of a text that goes on where another content has ended. */
  continuedIds(text: string): Promise<TokenSequence> {
    return this.#parts.pieces.content(text, 'continued');
  }

  /** What a prompt begins with under a preamble, whichever turns are left out of it. */
  async preambleIds({ opening, system }: Conversation, preamble: PromptPreamble): Promise<TokenSequence> {
    if (opening === undefined) return [];
    const { segment } = await this.#opening(opening.messages, preamble);
    const before = standingUnder(preamble, system);
    const contents = segment.form.marks.map((mark) => standing(mark, before) ?? opening.content(Number(mark)));
    const { ids, leadLength } = fillForm(segment.form, contents);
    return ids.slice(0, leadLength);
  }

  async #next(
    conversation: Conversation,
    next: NextTurn & { readonly promptIds: TokenSequence | undefined },
    policy: ReasoningPolicy,
    given?: WindowRule,
  ): Promise<{ shape: NextShape } & Omit<Continuation, 'segment'>> {
    const { turns, fromStart, system, preamble: had } = conversation;
    const { preamble } = next;
    const before = samePreamble(had, preamble) ? undefined : beforeOf(had, preamble, system);
    const rule = given ?? (before === undefined ? this.#parts.facts.window : 'whole');
    const start = windowStart(turns, rule);
    const window = turns.slice(start);
    const outline: ConversationOutline = {
      system: system !== undefined,
      ...preambleOutline(preamble, system),
      fromStart: fromStart && start === 0,
      turns: [...window.map(turnOutline), { messages: next.messages, reply: undefined }],
    };
    const key = keyOf(outline, before, policy);
    const shape = await this.#continuations.get(key, () => this.#shapes.next(outline, before, policy));
    if (shape.reachesBeyond && start > 0) return this.#next(conversation, next, policy, 'whole');
    const standingNow = standingUnder(preamble, system);
    const changes = window.map((turn, index) =>
      changed(turn, shape.changes[index], {
        before: standingNow,
        replyBefore: turns[start + index - 1]?.replyIds,
      }),
    );
    const [newest] = turns.slice(-1);
    if (newest !== undefined && this.#endsOtherwise(newest, shape, next.promptIds)) {
      const { messages, reply = joined(newest.generationPrompt, newest.replyIds) } = changes.pop() ?? {};
      changes.push({ messages, reply: reply.slice(0, -1), losesEnd: true });
    }
    if (before === undefined || fromStart) return { shape, changes };
    return { shape, changes, preamble: await this.preambleIds(conversation, preamble) };
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

  /** Whether something can be said to the model before the conversation. */
  takesSystem(): boolean {
    try {
      this.#shapes.form(opened({ instructions: true }, false));
      return true;
    } catch (error) {
      if (error instanceof TemplateRefusal) return false;
      throw error;
    }
  }

  /** Whether the system message does not go with turn 1: it stands before the first message, or in a later turn. */
  keepsSystem(): boolean {
    try {
      const [first] = this.#shapes.form(opened({ system: true }, false)).turns;
      if (first !== undefined && this.#leads.preambleOf(first) !== undefined) return true;
      return !this.#shapes.form(opened({ system: true }, true)).turns[0]?.marks.includes(SYSTEM_MARK);
    } catch (error) {
      if (error instanceof TemplateRefusal) return false;
      throw error;
    }
  }

  /** The BOS id where the model wants one and the template does not write it. */
  bosBefore(first: string): TokenId[] {
    return this.#leads.bosBefore(first);
  }

  #opening(messages: NextTurn['messages'], preamble: PromptPreamble): Promise<OpeningShape> {
    const system = messages[0]?.role === 'system';
    const outline: ConversationOutline = {
      system,
      ...preambleOutline(preamble, system ? [] : undefined),
      fromStart: true,
      turns: [{ messages, reply: undefined }],
    };
    return this.#openings.get(keyOf(outline, undefined, 'as-template'), () => this.#shapes.opening(outline));
  }

  #fill(
    segment: OpeningShape['segment'],
    messages: readonly TemplateMessage[],
    filling: Pick<Parameters<typeof fillSegment>[2], 'skip' | 'before' | 'known'>,
  ): Promise<TurnSegment> {
    const { pieces, facts } = this.#parts;
    return fillSegment(segment, messages, { pieces, calls: facts.calls, ...filling });
  }

  #known(messages: readonly TemplateMessage[], { layers }: PromptPreamble): KnownPieces | undefined {
    const known = this.#said.get(messages) ?? (layers && new Map());
    if (known !== undefined) this.#said.set(messages, known);
    return known;
  }
}

function preambleOutline(preamble: PromptPreamble, system: TokenSequence | undefined) {
  return { instructions: saysInstructions(preamble, system), tools: preamble.tools };
}

function beforeOf(had: PromptPreamble, now: PromptPreamble, system: TokenSequence | undefined): Before {
  const [before, after] = [standingUnder(had, system), standingUnder(now, system)];
  const renewed = [
    ...(sameIds(before.instructions, after.instructions) ? [] : [INSTRUCTIONS_MARK]),
    ...(sameIds(before.system, after.system) ? [] : [SYSTEM_MARK]),
  ];
  return { ...preambleOutline(had, system), renewed };
}

function turnOutline({ messages, reasoningLength, calls }: ConversationTurn): TurnOutline {
  return { messages, reply: { reasoned: reasoningLength > 0, calls } };
}

function keyOf(outline: ConversationOutline, before: Before | undefined, policy: ReasoningPolicy): string {
  const { system, instructions, tools, fromStart, turns } = outline;
  const kinds = turns.map(({ messages, reply }) => {
    const answered = reply && `${reply.reasoned ? 'reasoned' : 'plain'}(${reply.calls.join()})`;
    return `${messages.map(outlineKey).join()}>${answered ?? ''}`;
  });
  const had = before && [before.instructions, before.renewed.join('+'), before.tools.key].join();
  return [policy, system, instructions, tools.key, fromStart, had ?? '', ...kinds].join('|');
}
