import { DiscedgeError } from '../domain/errors.ts';
import type { Preamble } from '../domain/record/preamble.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../domain/token-sequence.ts';
import type { Clock } from '../environment/environment.ts';
import type { CallSyntax } from './chat-template/classes/call-syntax.ts';
import type { WrittenReasoning } from './chat-template/classes/reasoning-style.ts';
import {
  factsOf,
  type TemplateFacts,
  type TraitClass,
  templateFacts,
} from './chat-template/classes/template-classes.ts';
import type { ReasoningPolicy } from './chat-template/classes/turn-change.ts';
import { Composer } from './chat-template/compose/composer.ts';
import type { Continuation, Conversation, ConversationTurn, NextTurn } from './chat-template/compose/conversation.ts';
import { PieceTokenizer } from './chat-template/compose/piece-tokenizer.ts';
import type { TurnSegment } from './chat-template/compose/segment-shape.ts';
import { textOfWhole, tokenizeWhole, wholeConversation } from './chat-template/compose/whole-conversation.ts';
import { type TemplateOrigin, templateSource } from './chat-template/fallback-template.ts';
import { Preambles } from './chat-template/preambles.ts';
import { EMPTY_PREAMBLE, NO_TOOLS, type PromptPreamble, type ToolList } from './chat-template/prompt-preamble.ts';
import { refusalsAreInvalid, rolesOf, turnRoles } from './chat-template/refused-messages.ts';
import type { ReplySyntax } from './chat-template/replies/reply-parser.ts';
import { replySyntax } from './chat-template/replies/reply-syntax.ts';
import type { TemplateMessage } from './chat-template/template-message.ts';
import { TemplateRefusal, TemplateRenderer } from './chat-template/template-renderer.ts';
import type { LlmDescription, LlmService } from './llm-service.ts';

export type { CallSyntax } from './chat-template/classes/call-syntax.ts';
export type { CallPlace, MessageOutline } from './chat-template/classes/conversation-form.ts';
export type { WrittenReasoning } from './chat-template/classes/reasoning-style.ts';
export {
  type ConversationTrait,
  TEMPLATE_CLASSES,
  type TemplateClass,
  type TraitClass,
} from './chat-template/classes/template-classes.ts';
export { trimStart } from './chat-template/classes/text-ends.ts';
export { REASONING_POLICIES, type ReasoningPolicy } from './chat-template/classes/turn-change.ts';
export {
  afterReply,
  type ChangedTurn,
  type Continuation,
  type Conversation,
  type ConversationTurn,
  type NextTurn,
} from './chat-template/compose/conversation.ts';
export type { TurnSegment } from './chat-template/compose/segment-shape.ts';
export { LAYER_JOINT } from './chat-template/preambles.ts';
export {
  EMPTY_PREAMBLE,
  type LayerIds,
  type PromptPreamble,
  sameLayers,
  samePreamble,
  ToolList,
} from './chat-template/prompt-preamble.ts';
export { ReplyParser, type ReplySyntax } from './chat-template/replies/reply-parser.ts';
export type { TemplateCall, TemplateMessage } from './chat-template/template-message.ts';

/**
 * Turns messages into ids under a model's chat template, each turn adding only its own. Template text is tokenized with
 * special tokens, contents without: a message that contains `<|im_end|>` cannot end the message. A content is tokenized once
 * and a reply never: a conversation is composed of their ids and the template's.
 *
 * All methods throw DiscedgeError: `invalid_request` for messages that the template refuses (for example a system message
 * under a template that knows none), `mode_unavailable` where {@link whyUnusable} is set, what `tokenize` throws.
 */
export interface ChatTemplate {
  readonly origin: TemplateOrigin;
  /** A sentence: why the template cannot be rendered; `undefined` when it can. */
  readonly whyUnusable: string | undefined;
  /** How much of a prompt the next one leaves as it was, for conversations of each trait; `plain` first. */
  readonly classes: readonly TraitClass[];
  /** Whether a system message can stand before a conversation. */
  readonly takesSystem: boolean;
  /** Whether the system message survives when turn 1 is dropped. */
  readonly keepsSystem: boolean;
  /** Whether a token that ends a reply is also the beginning of the next message, as nothing else closes the reply. */
  endOpensNext(id: TokenId): boolean;
  /** How replies of this model carry reasoning; `undefined`: its template knows none. */
  readonly reasoning: WrittenReasoning | undefined;
  /** How its replies are taken apart. */
  readonly syntax: ReplySyntax;
  /** How it writes calls; `undefined`: it knows none. */
  readonly calls: CallSyntax | undefined;
  /**
   * What a turn's prompt is to begin with, ready to be composed. Throws `unsupported_parameter` for tools under a template that
   * knows none, `invalid_request` for instructions that it does not accept and tools that spell a control token.
   */
  preamble(preamble: Preamble): Promise<PromptPreamble>;
  /**
   * Ids of the text of a context layer: `first` in the system message, or after another one, with what parts the two. Throws
   * `invalid_request` where the template takes no system message.
   */
  layer(text: string, place: { readonly first: boolean; readonly tools: ToolList }): Promise<TokenSequence>;
  /** The ids of that where a session's first turn is left out of the prompt. */
  preambleIds(conversation: Conversation, preamble: PromptPreamble): Promise<TokenSequence>;
  /**
   * Ids of the first turn, BOS to generation prompt. An optional system message first, then at least one other; a whole
   * conversation is as good, and then replies in it are text like all other contents.
   */
  openSession(messages: readonly TemplateMessage[], preamble?: PromptPreamble): Promise<TurnSegment>;
  /** How the turns before stand under the next one, and what it adds: the end of the previous reply, then the new messages. */
  continueSession(
    conversation: Conversation,
    messages: readonly TemplateMessage[],
    policy?: ReasoningPolicy,
    preamble?: PromptPreamble,
  ): Promise<Continuation>;
  /** How the turns before stand under one that was written after them; see {@link Continuation.changes}. */
  turnsUnder(
    conversation: Conversation,
    next: NextTurn & Pick<ConversationTurn, 'promptIds'>,
    policy: ReasoningPolicy,
  ): Promise<Omit<Continuation, 'segment'>>;
  /** Raw mode: ids of the whole conversation with its generation prompt, rendered and tokenized anew. */
  renderWhole(messages: readonly TemplateMessage[], policy?: ReasoningPolicy, preamble?: Preamble): Promise<TokenId[]>;
  /**
   * The whole conversation as text, where a content that spells a control token can no longer be told from one. A reply that
   * stands last is not ended, and has no generation prompt after it: the model is to go on with it.
   */
  renderText(messages: readonly TemplateMessage[], options: { readonly generationPrompt: boolean }): Promise<string>;
}

/**
 * Compiles the model's chat template and finds out, by rendering short conversations, how earlier turns stand under later
 * ones. A model without a template gets ChatML where its vocabulary has `<|im_start|>` and `<|im_end|>` as control
 * tokens, else `User: …` and `Assistant: …` lines. A template that cannot be rendered compiles too: every method throws
 * `mode_unavailable`. `clock` gives templates the date.
 */
export async function compileChatTemplate(
  description: LlmDescription,
  tokenize: LlmService['tokenize'],
  clock?: Pick<Clock, 'now'>,
): Promise<ChatTemplate> {
  const { origin, source } = await templateSource(description, tokenize);
  const { bosText, eosText } = description;
  try {
    const nowMs = clock?.now();
    const still = nowMs === undefined ? undefined : { now: () => nowMs };
    const { facts, contents } = factsOf((how) => {
      const frozen = new TemplateRenderer(source, { bosText, eosText, clock: still, contents: how });
      return templateFacts(frozen, eosText);
    });
    const renderer = new TemplateRenderer(source, { bosText, eosText, clock, contents });
    const pieces = await PieceTokenizer.create(tokenize);
    const composer = new Composer({ description, facts, renderer, pieces });
    const { endOfGeneration } = description;
    const preambles = new Preambles({ facts, composer, tokenize });
    const { style } = facts;
    const reasoning = style && { ...style, endIds: await tokenize(style.end, { parseSpecial: true }) };
    const parts = { origin, renderer, pieces, composer, preambles, endOfGeneration, facts, reasoning };
    return new RenderedTemplate(parts);
  } catch (error) {
    if (error instanceof TemplateRefusal) return unusableTemplate(`The model's chat template ${error.message}.`);
    throw error;
  }
}

interface Parts {
  readonly origin: TemplateOrigin;
  readonly renderer: TemplateRenderer;
  readonly pieces: PieceTokenizer;
  readonly composer: Composer;
  readonly preambles: Preambles;
  readonly endOfGeneration: ReadonlySet<TokenId>;
  readonly facts: TemplateFacts;
  readonly reasoning: WrittenReasoning | undefined;
}

class RenderedTemplate implements ChatTemplate {
  readonly origin: TemplateOrigin;
  readonly whyUnusable = undefined;
  readonly classes: readonly TraitClass[];
  readonly reasoning: WrittenReasoning | undefined;
  readonly takesSystem: boolean;
  readonly keepsSystem: boolean;
  readonly syntax: ReplySyntax;
  readonly calls: CallSyntax | undefined;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.origin = parts.origin;
    this.classes = parts.facts.classes;
    this.reasoning = parts.reasoning;
    this.takesSystem = parts.composer.takesSystem();
    this.keepsSystem = parts.composer.keepsSystem();
    this.calls = parts.facts.calls;
    this.syntax = replySyntax(parts.renderer, parts.facts);
  }

  endOpensNext(id: TokenId): boolean {
    return this.#parts.facts.closing === '' && this.#parts.endOfGeneration.has(id);
  }

  preamble(given: Preamble): Promise<PromptPreamble> {
    return this.#parts.preambles.of(given);
  }

  layer(text: string, place: { readonly first: boolean; readonly tools: ToolList }): Promise<TokenSequence> {
    return this.#parts.preambles.layer(text, place);
  }

  preambleIds(conversation: Conversation, preamble: PromptPreamble): Promise<TokenSequence> {
    return refusalsAreInvalid(['system'], () => this.#parts.composer.preambleIds(conversation, preamble));
  }

  async openSession(messages: readonly TemplateMessage[], preamble = EMPTY_PREAMBLE): Promise<TurnSegment> {
    return refusalsAreInvalid(turnRoles(messages), () => this.#parts.composer.open(messages, preamble));
  }

  async continueSession(
    conversation: Conversation,
    messages: readonly TemplateMessage[],
    policy: ReasoningPolicy = 'as-template',
    preamble = conversation.preamble,
  ): Promise<Continuation> {
    const goOn = () => this.#parts.composer.goOn(conversation, messages, { preamble, policy });
    return refusalsAreInvalid(turnRoles(messages), goOn);
  }

  async renderText(messages: readonly TemplateMessage[], { generationPrompt }: { generationPrompt: boolean }) {
    const unended = messages.at(-1)?.role === 'assistant';
    const { renderer, facts } = this.#parts;
    const options = { generationPrompt: generationPrompt && !unended, style: this.reasoning, calls: facts.calls };
    const render = async () => wholeConversation(renderer, messages, options);
    return textOfWhole(await refusalsAreInvalid(rolesOf(messages), render), { unended });
  }

  async turnsUnder(
    conversation: Conversation,
    next: NextTurn & Pick<ConversationTurn, 'promptIds'>,
    policy: ReasoningPolicy,
  ): Promise<Omit<Continuation, 'segment'>> {
    return refusalsAreInvalid(rolesOf(next.messages), () =>
      this.#parts.composer.turnsUnder(conversation, next, policy),
    );
  }

  async renderWhole(
    given: readonly TemplateMessage[],
    policy: ReasoningPolicy = 'as-template',
    preamble?: Preamble,
  ): Promise<TokenId[]> {
    const { renderer, pieces, composer, facts } = this.#parts;
    const tools = preamble === undefined ? NO_TOOLS : await this.#parts.preambles.tools(preamble.tools);
    const instructions = preamble?.instructions;
    const messages =
      instructions === undefined ? given : [{ role: 'system' as const, content: instructions }, ...given];
    return refusalsAreInvalid(rolesOf(messages), async () => {
      const whole = wholeConversation(renderer, messages, { style: this.reasoning, calls: facts.calls, policy, tools });
      const ids = composer.bosBefore(whole.literals[0] as string);
      appendTokens(ids, await tokenizeWhole(whole, pieces));
      return ids;
    });
  }
}

function unusableTemplate(reason: string): ChatTemplate {
  const refuse = async (): Promise<never> => {
    throw new DiscedgeError('mode_unavailable', `${reason} Use mode "client-side".`, { param: 'mode' });
  };
  return {
    origin: 'model',
    whyUnusable: reason,
    classes: [{ trait: 'plain', class: 'refused', reach: 0, why: reason }],
    takesSystem: false,
    keepsSystem: false,
    endOpensNext: () => false,
    reasoning: undefined,
    syntax: { thinking: undefined, answer: undefined, calls: undefined },
    calls: undefined,
    preamble: refuse,
    layer: refuse,
    preambleIds: refuse,
    openSession: refuse,
    continueSession: refuse,
    turnsUnder: refuse,
    renderWhole: refuse,
    renderText: refuse,
  };
}
