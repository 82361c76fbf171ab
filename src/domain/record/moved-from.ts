import type { ContextId, KeygroupId } from '../identifiers.ts';
import type { Extensions } from './extensions.ts';
import type { TurnRecord } from './turn-record.ts';

/** A turn as another model had it. */
export interface MovedFrom {
  readonly keygroup: KeygroupId;
  readonly contextId: ContextId;
}

/** Marks a turn that another model answered: its texts are in this model's ids. A fork's copies keep it. */
const MOVED_FROM = 'discedge.moved-from';
const KEYGROUP_BYTES = 8;
const CONTEXT_ID_BYTES = 16;

export function movedFromExtension({ keygroup, contextId }: MovedFrom): Extensions {
  return new Map([[MOVED_FROM, Uint8Array.from(Buffer.from(`${keygroup}${contextId}`, 'hex'))]]);
}

/** `undefined` of a turn that was answered here. */
export function movedFromOf({ extensions }: Pick<TurnRecord, 'extensions'>): MovedFrom | undefined {
  const bytes = extensions?.get(MOVED_FROM);
  if (bytes?.length !== KEYGROUP_BYTES + CONTEXT_ID_BYTES) return undefined;
  const hex = Buffer.from(bytes).toString('hex');
  return {
    keygroup: hex.slice(0, 2 * KEYGROUP_BYTES) as KeygroupId,
    contextId: hex.slice(2 * KEYGROUP_BYTES) as ContextId,
  };
}
