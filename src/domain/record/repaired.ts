import type { ContextId } from '../identifiers.ts';
import type { Extensions } from './extensions.ts';
import type { TurnRecord } from './turn-record.ts';

/**
 * Marks a turn that was not answered here: its client told it again, after the record of it was lost with a node. Names the
 * context id of the lost record, which the client knows it by. A fork's copies keep it, and say the same of where they come from.
 */
const REPAIRED = 'discedge.repaired';
const CONTEXT_ID_BYTES = 16;

export function repairedExtension(lost: ContextId): Extensions {
  return new Map([[REPAIRED, Uint8Array.from(Buffer.from(lost, 'hex'))]]);
}

/** The context id that the turn stands for; `undefined` of one that was answered. */
export function repairedOf({ extensions }: Pick<TurnRecord, 'extensions'>): ContextId | undefined {
  const bytes = extensions?.get(REPAIRED);
  return bytes?.length === CONTEXT_ID_BYTES ? (Buffer.from(bytes).toString('hex') as ContextId) : undefined;
}
