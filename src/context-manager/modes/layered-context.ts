import type { Extensions } from '../../domain/record/extensions.ts';
import { type LayerStamp, layerStampsExtension } from '../../domain/record/layer-stamps.ts';
import { type Continuation, type PromptPreamble, sameLayers } from '../../llm-service/chat-template.ts';
import type { Layer } from '../layers/layer.ts';
import { changedFrom, sameStamps, toldLayers, unchangedLayers } from '../layers/told-layers.ts';
import type { Prompt } from './mode.ts';
import type { TokenContext } from './token-context.ts';

/**
 * Puts the turns of a context as they stand under the next one and this node's layers. A context that this node has in memory is
 * compared id by id; of one that was answered elsewhere, or long ago, only which layers it had is known.
 */
export function settleLayers(
  context: TokenContext,
  { composed, under }: { readonly composed: Continuation; readonly under: PromptPreamble },
  {
    recorded,
    preamble,
    layers,
    isFirst,
  }: {
    /** The same without layers. */
    readonly recorded: Continuation;
    readonly preamble: PromptPreamble;
    readonly layers: readonly Layer[];
    readonly isFirst: boolean;
  },
): Pick<Prompt, 'rewrittenTokens' | 'layers'> {
  const had = context.layersRead;
  const { layers: stood } = context.conversation.preamble;
  const told = (rewrittenTokens: number) =>
    toldLayers(isFirst ? undefined : had, layers, { ids: under.layers, rewrittenTokens });
  if (stood !== undefined || had.length === 0) {
    const { length } = context.ids;
    const rewrittenTokens = context.settle(composed, under);
    if (sameLayers(stood, under.layers)) return { rewrittenTokens, layers: told(0) };
    // Whatever the template has otherwise stands behind them.
    const same = length - rewrittenTokens;
    return { rewrittenTokens: 0, layers: told(context.ids.length - same) };
  }
  const rewrittenTokens = context.settle(recorded, preamble);
  context.withdraw();
  context.settle(composed, under);
  if (sameStamps(had, layers)) return { rewrittenTokens, layers: told(0) };
  const from = changedFrom(context.ids, under.layers, unchangedLayers(had, layers));
  return { rewrittenTokens: 0, layers: told(context.ids.length - from) };
}

/** What a turn's record says of its layers; nothing where they are what they were. */
export function layerExtension(had: readonly LayerStamp[], layers: readonly Layer[]): Extensions | undefined {
  return sameStamps(had, layers) ? undefined : layerStampsExtension(layers);
}
