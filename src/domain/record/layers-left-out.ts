import type { Extensions } from './extensions.ts';
import { LAYER_NAMES, type LayerName } from './layer-stamps.ts';
import type { SessionRecord } from './turn-record.ts';

/** Layers that a request may do without. What the operator says to every user is not among them. */
export const OPTIONAL_LAYERS = ['region', 'preferences'] as const satisfies readonly LayerName[];
export type OptionalLayer = (typeof OPTIONAL_LAYERS)[number];

/** What a turn's request did without, whether or not its node had it: its client probably says so of the next turn, too. */
const LEFT_OUT = 'discedge.layers-left-out';

/** As a record carries them; none where there are none. */
export function layersLeftOutExtension(names: readonly OptionalLayer[]): Extensions | undefined {
  if (names.length === 0) return undefined;
  return new Map([[LEFT_OUT, Uint8Array.from(names, (name) => LAYER_NAMES.indexOf(name)).sort()]]);
}

/** None where a record names none; what it names that cannot be left out is passed over. */
export function layersLeftOutOf({ extensions }: Pick<SessionRecord, 'extensions'>): readonly OptionalLayer[] {
  const bytes = extensions?.get(LEFT_OUT);
  return bytes === undefined ? [] : OPTIONAL_LAYERS.filter((name) => bytes.includes(LAYER_NAMES.indexOf(name)));
}
