import type { Random } from '../../../environment/environment.ts';

/** Of chance in an id: as much as a version 4 UUID has. */
const CALL_ID_BYTES = 16;

/** Ids of calls: they name a call to its client, who gives them back with its result; nobody else can guess them. */
export function callIds(random: Random): () => string {
  return () => `call_${Buffer.from(random.bytes(CALL_ID_BYTES)).toString('base64url')}`;
}
