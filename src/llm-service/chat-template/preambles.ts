import { DiscedgeError } from '../../domain/errors.ts';
import type { Preamble, ToolDefinition } from '../../domain/record/preamble.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { LlmService } from '../llm-service.ts';
import type { TemplateFacts } from './classes/template-classes.ts';
import type { Composer } from './compose/composer.ts';
import { NO_TOOLS, type PromptPreamble, ToolList } from './prompt-preamble.ts';
import { TemplateRefusal } from './template-renderer.ts';

/** Preambles and lists of tools kept: requests choose them, and most choose what the one before did. */
const KEPT_MAX = 64;

/** Between context layers, and between them and what follows. */
export const LAYER_JOINT = '\n\n';

/** Makes ready what requests put before a conversation: instructions tokenized and tools looked at once, not with each turn. */
export class Preambles {
  readonly #facts: Pick<TemplateFacts, 'calls'>;
  readonly #composer: Composer;
  readonly #tokenize: LlmService['tokenize'];
  readonly #ready = new Map<string, Promise<PromptPreamble>>();
  readonly #tools = new Map<string, Promise<ToolList>>();

  constructor(parts: { facts: Pick<TemplateFacts, 'calls'>; composer: Composer; tokenize: LlmService['tokenize'] }) {
    this.#facts = parts.facts;
    this.#composer = parts.composer;
    this.#tokenize = parts.tokenize;
  }

  async of({ instructions, tools: definitions }: Preamble): Promise<PromptPreamble> {
    const tools = await this.tools(definitions);
    if (instructions === undefined) return { instructions, tools };
    return kept(this.#ready, `${tools.key}\n${instructions}`, async () => ({
      instructions: await this.#instructions(instructions, tools),
      tools,
    }));
  }

  /** Throws `unsupported_parameter` where the template knows no tools, `invalid_request` for text of a control token in them. */
  async tools(definitions: readonly ToolDefinition[]): Promise<ToolList> {
    if (definitions.length === 0) return NO_TOOLS;
    const list = new ToolList(definitions);
    return kept(this.#tools, list.key, () => this.#checked(list));
  }

  /**
   * Of the text of a context layer, `first` in the system message or after another one; of an empty one that is not first, what parts
   * it from the one before. Throws `invalid_request` where the template takes no system message.
   */
  layer(text: string, { first, tools }: { readonly first: boolean; readonly tools: ToolList }): Promise<TokenSequence> {
    return first ? this.#instructions(text, tools) : this.#composer.continuedIds(LAYER_JOINT + text);
  }

  async #checked(list: ToolList): Promise<ToolList> {
    if (this.#facts.calls === undefined) {
      const message = "the model's chat template tells of no tools, or writes no calls of them";
      throw new DiscedgeError('unsupported_parameter', message, { param: 'tools' });
    }
    const text = JSON.stringify(list.definitions);
    const [parsed, unparsed] = await Promise.all([
      this.#tokenize(text, { parseSpecial: true }),
      this.#tokenize(text, { parseSpecial: false }),
    ]);
    // It becomes part of the template's text, where such a token would be one.
    if (parsed.length !== unparsed.length || parsed.some((id, index) => id !== unparsed[index])) {
      throw new DiscedgeError('invalid_request', 'tools spell a control token of the model', { param: 'tools' });
    }
    return list;
  }

  async #instructions(text: string, tools: ToolList) {
    try {
      return await this.#composer.instructionIds(text, tools);
    } catch (error) {
      if (!(error instanceof TemplateRefusal)) throw error;
      const message = `the model's chat template does not accept instructions: it ${error.message}`;
      throw new DiscedgeError('invalid_request', message, { param: 'instructions', cause: error });
    }
  }
}

/** The least recently used goes first. */
function kept<T>(all: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const value = all.get(key) ?? make();
  all.delete(key);
  all.set(key, value);
  if (all.size > KEPT_MAX) all.delete(all.keys().next().value as string);
  value.catch(() => {
    if (all.get(key) === value) all.delete(key);
  });
  return value;
}
