import { DiscedgeError } from '../domain/errors.ts';
import type { Role, TextMessage } from '../domain/record/turn-record.ts';
import { appendTokens, type TokenId } from '../domain/token-sequence.ts';
import type { Clock } from '../environment/environment.ts';
import { Composer } from './chat-template/composer.ts';
import type { ChangedTurn, Continuation, Conversation, ConversationTurn } from './chat-template/conversation.ts';
import { type TemplateOrigin, templateSource } from './chat-template/fallback-template.ts';
import { PieceTokenizer } from './chat-template/piece-tokenizer.ts';
import type { WrittenReasoning } from './chat-template/reasoning-style.ts';
import type { TurnSegment } from './chat-template/segment-shape.ts';
import { type TemplateFacts, type TraitClass, templateFacts } from './chat-template/template-classes.ts';
import { TemplateRefusal, TemplateRenderer } from './chat-template/template-renderer.ts';
import type { ReasoningPolicy } from './chat-template/turn-change.ts';
import { textOfWhole, tokenizeWhole, wholeConversation } from './chat-template/whole-conversation.ts';
import type { LlmDescription, LlmService } from './llm-service.ts';

export {
  afterReply,
  type ChangedTurn,
  type Continuation,
  type Conversation,
  type ConversationTurn,
} from './chat-template/conversation.ts';
export type { WrittenReasoning } from './chat-template/reasoning-style.ts';
export type { TurnSegment } from './chat-template/segment-shape.ts';
export {
  type ConversationTrait,
  TEMPLATE_CLASSES,
  type TemplateClass,
  type TraitClass,
} from './chat-template/template-classes.ts';
export { trimStart } from './chat-template/text-ends.ts';
export { REASONING_POLICIES, type ReasoningPolicy } from './chat-template/turn-change.ts';

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
  /** Whether the system message survives when turn 1 is dropped. */
  readonly keepsSystem: boolean;
  /** Whether a token that ends a reply is also the beginning of the next message, as nothing else closes the reply. */
  endOpensNext(id: TokenId): boolean;
  /** How replies of this model carry reasoning; `undefined`: its template knows none. */
  readonly reasoning: WrittenReasoning | undefined;
  /**
   * Ids of the first turn, BOS to generation prompt. An optional system message first, then at least one other; a whole
   * conversation is as good, and then replies in it are text like all other contents.
   */
  openSession(messages: readonly TextMessage[]): Promise<TurnSegment>;
  /** How the turns before stand under the next one, and what it adds: the end of the previous reply, then the new messages. */
  continueSession(
    conversation: Conversation,
    messages: readonly TextMessage[],
    policy?: ReasoningPolicy,
  ): Promise<Continuation>;
  /** How the turns before stand under one that was written after them; see {@link Continuation.changes}. */
  turnsUnder(
    conversation: Conversation,
    next: Pick<ConversationTurn, 'roles' | 'promptIds'>,
    policy: ReasoningPolicy,
  ): Promise<readonly (ChangedTurn | undefined)[]>;
  /** Raw mode: ids of the whole conversation with its generation prompt, rendered and tokenized anew. */
  renderWhole(messages: readonly TextMessage[], policy?: ReasoningPolicy): Promise<TokenId[]>;
  /**
   * The whole conversation as text, where a content that spells a control token can no longer be told from one. A reply that
   * stands last is not ended, and has no generation prompt after it: the model is to go on with it.
   */
  renderText(messages: readonly TextMessage[], options: { readonly generationPrompt: boolean }): Promise<string>;
}

/** Messages in one turn: far above any few-shot opening, and little work for a template. */
const MESSAGES_MAX = 1024;

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
    const { style } = facts;
    const reasoning = style && { ...style, endIds: await tokenize(style.end, { parseSpecial: true }) };
    return new RenderedTemplate({ origin, renderer, pieces, composer, endOfGeneration, facts, reasoning });
  } catch (error) {
    if (error instanceof TemplateRefusal) return unusableTemplate(`The model's chat template ${error.message}.`);
    throw error;
  }
}

/** With contents as texts, or where the template cannot carry a conversation of those, as lists of parts. */
function factsOf(probe: (contents: 'text' | 'parts') => TemplateFacts): {
  facts: TemplateFacts;
  contents: 'text' | 'parts';
} {
  try {
    return { facts: probe('text'), contents: 'text' };
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    try {
      return { facts: probe('parts'), contents: 'parts' };
    } catch {
      throw error;
    }
  }
}

interface Parts {
  readonly origin: TemplateOrigin;
  readonly renderer: TemplateRenderer;
  readonly pieces: PieceTokenizer;
  readonly composer: Composer;
  readonly endOfGeneration: ReadonlySet<TokenId>;
  readonly facts: Pick<TemplateFacts, 'classes' | 'closing'>;
  readonly reasoning: WrittenReasoning | undefined;
}

class RenderedTemplate implements ChatTemplate {
  readonly origin: TemplateOrigin;
  readonly whyUnusable = undefined;
  readonly classes: readonly TraitClass[];
  readonly reasoning: WrittenReasoning | undefined;
  readonly keepsSystem: boolean;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.origin = parts.origin;
    this.classes = parts.facts.classes;
    this.reasoning = parts.reasoning;
    this.keepsSystem = parts.composer.keepsSystem();
  }

  endOpensNext(id: TokenId): boolean {
    return this.#parts.facts.closing === '' && this.#parts.endOfGeneration.has(id);
  }

  async openSession(messages: readonly TextMessage[]): Promise<TurnSegment> {
    return refusalsAreInvalid(turnRoles(messages), () => this.#parts.composer.open(messages));
  }

  async continueSession(
    conversation: Conversation,
    messages: readonly TextMessage[],
    policy: ReasoningPolicy = 'as-template',
  ): Promise<Continuation> {
    return refusalsAreInvalid(turnRoles(messages), () => this.#parts.composer.goOn(conversation, messages, policy));
  }

  async renderText(messages: readonly TextMessage[], { generationPrompt }: { generationPrompt: boolean }) {
    const unended = messages.at(-1)?.role === 'assistant';
    const options = { generationPrompt: generationPrompt && !unended };
    const render = async () => wholeConversation(this.#parts.renderer, messages, { ...options, style: this.reasoning });
    return textOfWhole(await refusalsAreInvalid(rolesOf(messages), render), { unended });
  }

  async turnsUnder(
    conversation: Conversation,
    next: Pick<ConversationTurn, 'roles' | 'promptIds'>,
    policy: ReasoningPolicy,
  ): Promise<readonly (ChangedTurn | undefined)[]> {
    return refusalsAreInvalid(next.roles, () => this.#parts.composer.turnsUnder(conversation, next, policy));
  }

  async renderWhole(messages: readonly TextMessage[], policy: ReasoningPolicy = 'as-template'): Promise<TokenId[]> {
    const { renderer, pieces, composer } = this.#parts;
    return refusalsAreInvalid(rolesOf(messages), async () => {
      const whole = wholeConversation(renderer, messages, { style: this.reasoning, policy });
      const ids = composer.bosBefore(whole.literals[0] as string);
      appendTokens(ids, await tokenizeWhole(whole, pieces));
      return ids;
    });
  }
}

function turnRoles(messages: readonly TextMessage[]): Role[] {
  if (messages.length > MESSAGES_MAX) {
    throw new DiscedgeError('invalid_request', `a turn can have up to ${MESSAGES_MAX} messages`, { param: 'messages' });
  }
  return rolesOf(messages);
}

function rolesOf(messages: readonly TextMessage[]): Role[] {
  if (messages.length === 0) throw new DiscedgeError('invalid_request', 'a turn needs at least one message');
  return messages.map((message) => message.role);
}

async function refusalsAreInvalid<T>(roles: readonly Role[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    const what = `the messages (${[...new Set(roles)].join(', ')})`;
    throw new DiscedgeError(
      'invalid_request',
      `the model's chat template does not accept ${what}: it ${error.message}`,
      {
        param: roles.includes('system') ? 'system' : undefined,
        cause: error,
      },
    );
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
    keepsSystem: false,
    endOpensNext: () => false,
    reasoning: undefined,
    openSession: refuse,
    continueSession: refuse,
    turnsUnder: refuse,
    renderWhole: refuse,
    renderText: refuse,
  };
}
