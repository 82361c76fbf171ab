import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { ChatTemplate, LayerIds, PromptPreamble, ToolList } from '../../llm-service/chat-template.ts';
import type { Layer } from './layer.ts';

/** Lists of tools under which the first layer's ids are kept: requests choose them, and most choose what the one before did. */
const TOOLS_KEPT_MAX = 16;

/** The ids of layers under one model's template: a text is tokenized once, and forgotten with its layer. */
export class LayerPieces {
  readonly #template: Pick<ChatTemplate, 'layer'>;
  readonly #pieces = new WeakMap<Layer, Map<string, Promise<TokenSequence>>>();
  #joint: Promise<TokenSequence> | undefined;

  constructor(template: Pick<ChatTemplate, 'layer'>) {
    this.#template = template;
  }

  /** The preamble with these layers before it, and no others. Throws what {@link ChatTemplate.layer} throws. */
  async under(layers: readonly Layer[], { instructions, tools }: PromptPreamble): Promise<PromptPreamble> {
    if (layers.length === 0) return { instructions, tools };
    return { instructions, tools, layers: await this.ids(layers, tools) };
  }

  /** At least one layer. Throws what {@link ChatTemplate.layer} throws. */
  async ids(layers: readonly Layer[], tools: ToolList): Promise<LayerIds> {
    const pieces: TokenSequence[] = [];
    for (const [index, layer] of layers.entries()) pieces.push(await this.#piece(layer, index === 0, tools));
    return { pieces, joint: await this.#jointIds(tools) };
  }

  #piece(layer: Layer, first: boolean, tools: ToolList): Promise<TokenSequence> {
    const key = first ? `first ${tools.key}` : 'later';
    const known = this.#pieces.get(layer) ?? new Map<string, Promise<TokenSequence>>();
    this.#pieces.set(layer, known);
    let piece = known.get(key);
    if (piece === undefined) {
      piece = this.#template.layer(layer.text, { first, tools });
      piece.catch(() => known.delete(key));
      known.set(key, piece);
      if (known.size > TOOLS_KEPT_MAX) known.delete(known.keys().next().value as string);
    }
    return piece;
  }

  #jointIds(tools: ToolList): Promise<TokenSequence> {
    if (this.#joint === undefined) {
      this.#joint = this.#template.layer('', { first: false, tools });
      this.#joint.catch(() => {
        this.#joint = undefined;
      });
    }
    return this.#joint;
  }
}
