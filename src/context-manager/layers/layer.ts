import { createHmac } from 'node:crypto';
import type { UserId } from '../../domain/identifiers.ts';
import { type LayerName, type LayerStamp, STAMP_BYTES } from '../../domain/record/layer-stamps.ts';
import type { OptionalLayer } from '../../domain/record/layers-left-out.ts';
import type { Random } from '../../environment/environment.ts';
import { LAYER_JOINT } from '../../llm-service/chat-template.ts';

/** One text of those that stand before a session's own system message. The same object for as long as it is the same text. */
export interface Layer extends LayerStamp {
  /** Not empty, and without blanks at its ends. */
  readonly text: string;
}

/** Names a text of a layer; see {@link LayerStamp}. */
export type StampOf = (text: string) => string;

/** Whoever does not have the key can tell nothing of a text by its stamp, not even whether it is this one. */
export function keyedStamps(key: Uint8Array): StampOf {
  return (text) => createHmac('sha256', key).update(text).digest().subarray(0, STAMP_BYTES).toString('hex');
}

/** Under a key that is drawn when it is first needed, and forgotten with the process. */
export function ownStamps(random: Pick<Random, 'bytes'>): StampOf {
  let stampOf: StampOf | undefined;
  return (text) => {
    stampOf ??= keyedStamps(random.bytes(32));
    return stampOf(text);
  };
}

/** A layer of what is written there; `undefined` where that is nothing. */
export function layerOf(name: LayerName, written: string, stampOf: StampOf): Layer | undefined {
  const text = written.trim();
  return text === '' ? undefined : { name, text, stamp: stampOf(`${name}\n${text}`) };
}

export const NO_LAYERS: readonly Layer[] = [];

/** Where a model's sessions get their layers. */
export interface LayerSource {
  /** In the order in which they stand. At once, unless a user's have to be read from the store. */
  of(userId: UserId, without: readonly OptionalLayer[]): readonly Layer[] | Promise<readonly Layer[]>;
}

/** All of them as one text, and what follows in the same message. */
export function layeredText(layers: readonly Pick<Layer, 'text'>[], own: string | undefined): string {
  const texts = layers.map(({ text }) => text);
  return [...texts, ...(own === undefined ? [] : [own])].join(LAYER_JOINT);
}
