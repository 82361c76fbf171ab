import { type Extensions, withoutExtension } from './extensions.ts';
import type { SessionRecord } from './turn-record.ts';

/** On a record whose writer doubted its clock: the times in it say how long it lives, and not when. */
const UNSURE_TIME = 'discedge.unsure-time';

/** What a record carries that is written while the clock is in doubt; none that is not. */
export function markUnsure(isUnsure: boolean): { readonly extensions?: Extensions } {
  return isUnsure ? { extensions: new Map([[UNSURE_TIME, new Uint8Array(0)]]) } : {};
}

/** The same extensions but for that mark. */
export function withoutUnsureTime(extensions: Extensions): Extensions {
  return withoutExtension(extensions, UNSURE_TIME);
}

export function isTimeUnsure(record: SessionRecord): boolean {
  return record.extensions?.has(UNSURE_TIME) === true;
}

/** The times of a record that comes within so long are right enough, and every node keeps to them. */
const TIMELY_MS = 300_000;

/** Until when a record keeps its session at a node that took it in at `takenInAtMs`: where its times are unsure, its life begins there. */
export function keepsUntilMs(record: SessionRecord, takenInAtMs: number): number {
  const isRight = !isTimeUnsure(record) || Math.abs(takenInAtMs - record.writtenAtMs) <= TIMELY_MS;
  return isRight ? record.expiresAtMs : takenInAtMs + (record.expiresAtMs - record.writtenAtMs);
}
