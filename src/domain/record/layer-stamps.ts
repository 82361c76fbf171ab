import { ByteReader, ByteWriter } from '../bytes.ts';
import { type Extensions, withoutExtension } from './extensions.ts';
import type { SessionRecord } from './turn-record.ts';

/**
 * What stands before a session's own system message, in this order: what the operator says for a whole deployment, what a node
 * says of its region, what a user prefers (paper §3).
 */
export const LAYER_NAMES = ['deployment', 'region', 'preferences'] as const;
export type LayerName = (typeof LAYER_NAMES)[number];

/** Tells a text of a layer from another one, and tells nothing of either. */
export interface LayerStamp {
  readonly name: LayerName;
  /** {@link STAMP_BYTES} as hex digits. */
  readonly stamp: string;
}

/** Two texts that a session meets one after the other have equal ones once in 2^64. */
export const STAMP_BYTES = 8;
const LAYERS = 'discedge.layers';

/** As a record carries them, the layers of its turn's prompt in order; where there were none, that too is said. */
export function layerStampsExtension(stamps: readonly LayerStamp[]): Extensions {
  const writer = new ByteWriter();
  for (const { name, stamp } of stamps) {
    writer.byte(LAYER_NAMES.indexOf(name));
    writer.raw(Buffer.from(stamp, 'hex'));
  }
  return new Map([[LAYERS, Uint8Array.from(writer.view())]]);
}

/** The same with nothing said of layers: of a turn that no model has read here under any. */
export function withoutLayerStamps<Kept extends Pick<SessionRecord, 'extensions'>>(kept: Kept): Kept {
  if (!kept.extensions?.has(LAYERS)) return kept;
  return { ...kept, extensions: withoutExtension(kept.extensions, LAYERS) };
}

/** `undefined`: those of the turn before, as a record says nothing where nothing has changed, and also where it is malformed. */
export function layerStampsOf({ extensions }: Pick<SessionRecord, 'extensions'>): readonly LayerStamp[] | undefined {
  const bytes = extensions?.get(LAYERS);
  if (bytes === undefined || bytes.length > LAYER_NAMES.length * (1 + STAMP_BYTES)) return undefined;
  try {
    const reader = new ByteReader(bytes);
    const stamps: LayerStamp[] = [];
    while (reader.remaining > 0) {
      const name = LAYER_NAMES[reader.byte()];
      if (name === undefined) return undefined;
      stamps.push({ name, stamp: Buffer.from(reader.raw(STAMP_BYTES)).toString('hex') });
    }
    return stamps;
  } catch {
    return undefined;
  }
}
