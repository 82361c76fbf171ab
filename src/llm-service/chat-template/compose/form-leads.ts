import type { TokenId } from '../../../domain/token-sequence.ts';
import type { LlmDescription } from '../../llm-service.ts';
import { INSTRUCTIONS_MARK, SYSTEM_MARK, type TurnForm } from '../classes/conversation-form.ts';
import type { TemplateFacts } from '../classes/template-classes.ts';
import type { Lead } from './segment-shape.ts';

/** What at the beginning of a turn's form is not the turn's own. */
export class FormLeads {
  readonly #description: Pick<LlmDescription, 'bosText' | 'prependBos'>;
  readonly #facts: Pick<TemplateFacts, 'closing' | 'opener'>;

  constructor(
    description: Pick<LlmDescription, 'bosText' | 'prependBos'>,
    facts: Pick<TemplateFacts, 'closing' | 'opener'>,
  ) {
    this.#description = description;
    this.#facts = facts;
  }

  /** The BOS id where the model wants one and the template does not write it. */
  bosBefore(first: string): TokenId[] {
    const { bosText, prependBos } = this.#description;
    const written = bosText !== '' && first.startsWith(bosText);
    return prependBos === undefined || written ? [] : [prependBos];
  }

  /** The text before the first user message's opener, and the literal that it ends in. */
  preambleOf({ literals, marks }: TurnForm): Lead | undefined {
    const { opener } = this.#facts;
    const literal = marks.findIndex((mark) => mark !== SYSTEM_MARK && mark !== INSTRUCTIONS_MARK);
    const text = literals[literal];
    if (opener === undefined || text === undefined || !text.endsWith(opener)) return undefined;
    return { literal, text: text.slice(0, text.length - opener.length) };
  }

  /** The end of the previous reply, at the beginning of a turn. */
  closingOf(first: string): Lead {
    const closing = this.#facts.closing ?? '';
    return { literal: 0, text: first.startsWith(closing) ? closing : '' };
  }

  /** What is not the first turn's own of how a session opens: BOS, system message, tools. */
  openingOf(form: TurnForm): Lead {
    return this.preambleOf(form) ?? this.#bosOnly(form.literals[0] as string);
  }

  /** BOS as text, unless every turn opens with one of its own. */
  #bosOnly(first: string): Lead {
    const { bosText } = this.#description;
    const opensEveryTurn = this.#facts.opener?.startsWith(bosText) ?? false;
    return { literal: 0, text: first.startsWith(bosText) && !opensEveryTurn ? bosText : '' };
  }
}
