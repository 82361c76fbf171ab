import { LAYER_NAMES, type LayerName, type LayerStamp } from '../../domain/record/layer-stamps.ts';
import type { TokenSequence } from '../../domain/token-sequence.ts';
import type { LayerIds } from '../../llm-service/chat-template.ts';

/** What a reply tells of the layers in its prompt, never what they say. */
export interface ToldLayers {
  /** In the order in which they stand; one that stood in the turn before and is gone, too. */
  readonly parts: readonly ToldLayer[];
  /**
   * Ids of the context up to this turn that are evaluated again because layers are not what they were in the turn before: at most so
   * many where that was answered at another node.
   */
  readonly rewrittenTokens: number;
}

export interface ToldLayer {
  readonly name: LayerName;
  /** 0 where it is gone. */
  readonly tokens: number;
  /** Whether it was another one in the turn before, or none. */
  readonly changed: boolean;
}

/** How many of the layers, from the first on, are what they were. */
export function unchangedLayers(had: readonly LayerStamp[], now: readonly LayerStamp[]): number {
  const other = now.findIndex(({ name, stamp }, index) => had[index]?.name !== name || had[index].stamp !== stamp);
  return other === -1 ? now.length : other;
}

export function sameStamps(had: readonly LayerStamp[], now: readonly LayerStamp[]): boolean {
  return had.length === now.length && unchangedLayers(had, now) === now.length;
}

/** `undefined` where there are no layers, and were none. `had`: those of the turn before; `undefined` for a session's first. */
export function toldLayers(
  had: readonly LayerStamp[] | undefined,
  now: readonly LayerStamp[],
  { ids, rewrittenTokens }: { readonly ids: LayerIds | undefined; readonly rewrittenTokens: number },
): ToldLayers | undefined {
  if (now.length === 0 && (had === undefined || had.length === 0)) return undefined;
  const parts = LAYER_NAMES.flatMap((name): ToldLayer[] => {
    const place = now.findIndex((layer) => layer.name === name);
    const before = had?.find((layer) => layer.name === name);
    if (place === -1) return before === undefined ? [] : [{ name, tokens: 0, changed: true }];
    const tokens = ids?.pieces[place]?.length ?? 0;
    return [{ name, tokens, changed: had !== undefined && before?.stamp !== now[place]?.stamp }];
  });
  return { parts, rewrittenTokens };
}

/** Where in a prompt the first layer that has changed begins; 0 where that cannot be told. */
export function changedFrom(prompt: TokenSequence, layers: LayerIds | undefined, unchanged: number): number {
  if (layers === undefined) return 0;
  const start = placeOf(prompt, layers.pieces[0] as TokenSequence);
  if (start === -1) return 0;
  return layers.pieces.slice(0, unchanged).reduce((at, { length }) => at + length, start);
}

function placeOf(ids: TokenSequence, part: TokenSequence): number {
  for (let at = 0; at + part.length <= ids.length; at++) {
    if (part.every((id, index) => ids[at + index] === id)) return at;
  }
  return -1;
}
