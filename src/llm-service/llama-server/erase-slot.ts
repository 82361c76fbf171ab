import { DiscedgeError } from '../../domain/errors.ts';
import type { ServerConnection } from '../http/server-connection.ts';

/**
 * Has the server drop what a slot holds, without a copy, once what is under way there has ended (`POST /slots/{id}?action=erase`). False from a
 * server that does not: one started without `--slot-save-path`, or with something before it that lets this not through. Throws as
 * {@link ServerConnection} does.
 */
export async function eraseSlot(connection: ServerConnection, slot: number, signal: AbortSignal): Promise<boolean> {
  try {
    const reply = (await connection.post(`slots/${slot}?action=erase`, '{}', signal)) as { n_erased?: unknown } | null;
    return typeof reply?.n_erased === 'number';
  } catch (error) {
    if (error instanceof DiscedgeError && NOT_DONE.has(error.code)) return false;
    throw error;
  }
}

/** Asked again, it would answer the same. */
const NOT_DONE: ReadonlySet<string> = new Set(['unsupported_parameter', 'invalid_request', 'llm_bad_reply']);
