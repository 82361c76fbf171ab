import type { Incarnation } from '../../../domain/identifiers.ts';

/** Far more than a node has keygroups for. */
const TEXT_MAX = 1_024;

/** What a node behind a hub, or a hub, has published: its incarnation, then the last sequence of each of its keygroups. */
export interface Beacon {
  readonly incarnation: Incarnation;
  readonly published: readonly number[];
}

/** Short, because it is sent for as long as the node lives. */
export function encodeBeacon({ incarnation, published }: Beacon): Uint8Array {
  return Buffer.from([incarnation, ...published.map((last) => last.toString(36))].join(' '));
}

/** `undefined` for anything that is not a beacon. */
export function decodeBeacon(data: Uint8Array): Beacon | undefined {
  const words = Buffer.from(data).toString('utf8');
  if (words.length > TEXT_MAX || !/^[0-9a-f]{8}( [0-9a-z]{1,11})*$/.test(words)) return undefined;
  const [incarnation, ...published] = words.split(' ');
  return { incarnation: incarnation as Incarnation, published: published.map((last) => Number.parseInt(last, 36)) };
}
