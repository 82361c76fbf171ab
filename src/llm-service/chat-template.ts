import { DiscedgeError } from '../domain/errors.ts';
import type { Role, TextMessage } from '../domain/record/turn-record.ts';
import { appendTokens, type TokenId, type TokenSequence } from '../domain/token-sequence.ts';
import type { Clock } from '../environment/environment.ts';
import { type TemplateOrigin, templateSource } from './chat-template/fallback-template.ts';
import { PieceTokenizer } from './chat-template/piece-tokenizer.ts';
import { fillShape, type SegmentShape, segmentShape, type TurnSegment } from './chat-template/segment-shape.ts';
import { ShapeCache } from './chat-template/shape-cache.ts';
import { probeTemplate, type TemplateFacts } from './chat-template/template-probe.ts';
import { type Skeleton, TemplateRefusal, TemplateRenderer } from './chat-template/template-renderer.ts';
import { textOfWhole, tokenizeWhole, wholeConversation } from './chat-template/whole-conversation.ts';
import type { LlmDescription, LlmService } from './llm-service.ts';

export type { TurnSegment } from './chat-template/segment-shape.ts';

/**
 * Turns messages into ids under a model's chat template, each turn adding only its own. Template text is tokenized with
 * special tokens, contents without: a message that contains `<|im_end|>` cannot end the message.
 *
 * All methods throw DiscedgeError: `invalid_request` for messages that the template refuses (for example a system message
 * under a template that knows none), `mode_unavailable` where {@link whyNotAppendable} is set, what `tokenize` throws.
 */
export interface ChatTemplate {
  readonly origin: TemplateOrigin;
  /** `undefined` when `tokenized` is exact; else a sentence that says why an earlier turn's ids would change. */
  readonly whyNotAppendable: string | undefined;
  /**
   * Whether a system message stands before the first user message on its own, so that it survives when turn 1 is dropped.
   * False: turn 1's lead is BOS only, and dropping turn 1 would drop the system message.
   */
  readonly preambleIsolated: boolean;
  /**
   * Ids of the first turn, BOS to generation prompt. An optional system message first, then at least one other; a whole
   * conversation is as good, and then replies in it are text like all other contents.
   */
  openSession(messages: readonly TextMessage[]): Promise<TurnSegment>;
  /**
   * Ids that follow the previous reply: its end, as far as `replyIds` does not have it, then the new messages and the
   * generation prompt.
   */
  continueSession(replyIds: TokenSequence, messages: readonly TextMessage[]): Promise<TurnSegment>;
  /** Raw mode: ids of the whole conversation with its generation prompt, rendered and tokenized anew. */
  renderWhole(messages: readonly TextMessage[]): Promise<TokenId[]>;
  /**
   * The whole conversation as text, where a content that spells a control token can no longer be told from one. A reply that
   * stands last is not ended, and has no generation prompt after it: the model is to go on with it.
   */
  renderText(messages: readonly TextMessage[], options: { readonly generationPrompt: boolean }): Promise<string>;
}

/** Messages in one turn: far above any few-shot opening, and little work for a template. */
const MESSAGES_MAX = 1024;

/**
 * Compiles the model's chat template and finds out, by rendering short conversations, whether turns can be appended
 * under it. A model without a template gets ChatML where its vocabulary has `<|im_start|>` and `<|im_end|>` as control
 * tokens, else `User: …` and `Assistant: …` lines; both can be appended. A template that cannot be rendered compiles too:
 * it is not appendable, and every method throws `mode_unavailable`. `clock` gives templates the date.
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
    const facts = probeTemplate(new TemplateRenderer(source, { bosText, eosText, clock: still }), eosText);
    const renderer = new TemplateRenderer(source, { bosText, eosText, clock });
    renderer.render([{ role: 'user', content: 'x' }], { generationPrompt: true });
    const pieces = await PieceTokenizer.create(tokenize);
    return new IncrementalTemplate({ origin, description, facts, renderer, pieces });
  } catch (error) {
    if (error instanceof TemplateRefusal) return unusableTemplate(`The model's chat template ${error.message}.`);
    throw error;
  }
}

interface Parts {
  readonly origin: TemplateOrigin;
  readonly description: LlmDescription;
  readonly facts: TemplateFacts;
  readonly renderer: TemplateRenderer;
  readonly pieces: PieceTokenizer;
}

/** A shape with the end token in its first literal: a reply that ends in one of `ids` makes its first `length` ids needless. */
interface ContinuationShape extends SegmentShape {
  readonly end: { readonly ids: ReadonlySet<TokenId>; readonly length: number };
}

class IncrementalTemplate implements ChatTemplate {
  readonly origin: TemplateOrigin;
  readonly whyNotAppendable: string | undefined;
  readonly preambleIsolated: boolean;
  readonly #parts: Parts;
  readonly #openings: ShapeCache<SegmentShape>;
  readonly #continuations: ShapeCache<ContinuationShape>;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.origin = parts.origin;
    this.whyNotAppendable = parts.facts.whyNotAppendable;
    this.#openings = new ShapeCache(parts.renderer, (roles) => this.#openingShape(roles));
    this.#continuations = new ShapeCache(parts.renderer, (roles) => this.#continuationShape(roles));
    this.preambleIsolated = this.#isolatesSystem();
  }

  async openSession(messages: readonly TextMessage[]): Promise<TurnSegment> {
    const roles = this.#mustAppend(messages);
    const shape = await refusalsAreInvalid(roles, () => this.#openings.get(roles));
    return fillShape(shape, messages, { pieces: this.#parts.pieces, skip: 0 });
  }

  async continueSession(replyIds: TokenSequence, messages: readonly TextMessage[]): Promise<TurnSegment> {
    const roles = this.#mustAppend(messages);
    const shape = await refusalsAreInvalid(roles, () => this.#continuations.get(roles));
    const last = replyIds.at(-1);
    const ended = last !== undefined && shape.end.ids.has(last);
    return fillShape(shape, messages, { pieces: this.#parts.pieces, skip: ended ? shape.end.length : 0 });
  }

  async renderText(messages: readonly TextMessage[], { generationPrompt }: { generationPrompt: boolean }) {
    const unended = messages.at(-1)?.role === 'assistant';
    const options = { generationPrompt: generationPrompt && !unended };
    const render = async () => wholeConversation(this.#parts.renderer, messages, options);
    return textOfWhole(await refusalsAreInvalid(rolesOf(messages), render), { unended });
  }

  async renderWhole(messages: readonly TextMessage[]): Promise<TokenId[]> {
    const { renderer, pieces } = this.#parts;
    const roles = rolesOf(messages);
    const whole = await refusalsAreInvalid(roles, async () => wholeConversation(renderer, messages));
    const ids = this.#bosBefore(whole.literals[0] as string);
    appendTokens(ids, await tokenizeWhole(whole, pieces));
    return ids;
  }

  #mustAppend(messages: readonly TextMessage[]): Role[] {
    if (this.whyNotAppendable !== undefined) {
      throw new DiscedgeError('mode_unavailable', `${this.whyNotAppendable} Use mode "raw".`, { param: 'mode' });
    }
    if (messages.length > MESSAGES_MAX) {
      throw new DiscedgeError('invalid_request', `a turn can have up to ${MESSAGES_MAX} messages`, {
        param: 'messages',
      });
    }
    return rolesOf(messages);
  }

  async #openingShape(roles: readonly Role[]): Promise<SegmentShape> {
    const { renderer, pieces } = this.#parts;
    const skeleton = renderer.skeleton(roles, { generationPrompt: true });
    const first = skeleton.literals[0] as string;
    const lead = this.#preambleOf(skeleton) ?? { literal: 0, text: this.#bosOnly(first) };
    const shape = await segmentShape(skeleton, { pieces, place: 'start', lead });
    const bos = this.#bosBefore(first);
    if (bos.length === 0) return shape;
    const [head, ...rest] = shape.literals as [TokenSequence, ...TokenSequence[]];
    return {
      ...shape,
      literals: [[...bos, ...head], ...rest],
      lead: lead.literal === 0 ? { literal: 0, ids: shape.lead.ids + bos.length } : shape.lead,
    };
  }

  async #continuationShape(roles: readonly Role[]): Promise<ContinuationShape> {
    const { renderer, pieces, facts } = this.#parts;
    const history: Role[] = ['user', 'assistant'];
    const before = renderer.skeleton([...history, 'user'], { generationPrompt: true });
    const skeleton = renderer.skeleton([...history, ...roles], { generationPrompt: true, dates: before.dates });
    if (history.some((_, index) => skeleton.literals[index] !== before.literals[index])) {
      throw new TemplateRefusal('changes earlier turns for it');
    }
    const closing = facts.closing ?? '';
    const added: Omit<Skeleton, 'text'> = {
      dates: skeleton.dates,
      literals: skeleton.literals.slice(history.length),
      slots: skeleton.slots.slice(history.length),
    };
    const text = added.literals[0] as string;
    const lead = { literal: 0, text: text.startsWith(closing) ? closing : '' };
    const shape = await segmentShape(added, { pieces, place: 'after-text', lead });
    return { ...shape, end: await this.#endToken(shape, text) };
  }

  async #endToken(shape: SegmentShape, text: string): Promise<ContinuationShape['end']> {
    const { endOfGeneration } = this.#parts.description;
    const ids = shape.literals[0] as TokenSequence;
    const known = ids.slice(0, shape.lead.ids).findIndex((id) => endOfGeneration.has(id));
    if (known >= 0) return { ids: endOfGeneration, length: known + 1 };
    // A service may not name every end token, and some models end a reply with the token that opens the next message:
    // a control token at the very start that the reply has already is not written again.
    const [first] = ids;
    const [unparsed] = await this.#parts.pieces.content(text, 'continued');
    return first === undefined || first === unparsed
      ? { ids: new Set(), length: 0 }
      : { ids: new Set([first]), length: 1 };
  }

  /** The text before the first user message's opener, and the literal that it ends in. */
  #preambleOf({
    literals,
    slots,
  }: Pick<Skeleton, 'literals' | 'slots'>): { literal: number; text: string } | undefined {
    const { opener } = this.#parts.facts;
    const literal = slots.findIndex((slot) => slot.role !== 'system');
    const text = literals[literal];
    if (opener === undefined || text === undefined || !text.endsWith(opener)) return undefined;
    return { literal, text: text.slice(0, text.length - opener.length) };
  }

  #isolatesSystem(): boolean {
    if (this.whyNotAppendable !== undefined) return false;
    try {
      const skeleton = this.#parts.renderer.skeleton(['system', 'user'], { generationPrompt: true });
      return this.#preambleOf(skeleton) !== undefined;
    } catch (error) {
      if (error instanceof TemplateRefusal) return false;
      throw error;
    }
  }

  /** BOS as text, unless every turn opens with one of its own. */
  #bosOnly(first: string): string {
    const { bosText } = this.#parts.description;
    const opensEveryTurn = this.#parts.facts.opener?.startsWith(bosText) ?? false;
    return first.startsWith(bosText) && !opensEveryTurn ? bosText : '';
  }

  /** The BOS id where the model wants one and the template does not write it. */
  #bosBefore(first: string): TokenId[] {
    const { bosText, prependBos } = this.#parts.description;
    const written = bosText !== '' && first.startsWith(bosText);
    return prependBos === undefined || written ? [] : [prependBos];
  }
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
    whyNotAppendable: reason,
    preambleIsolated: false,
    openSession: refuse,
    continueSession: refuse,
    renderWhole: refuse,
    renderText: refuse,
  };
}
