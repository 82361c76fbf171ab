import { DiscedgeError } from '../../domain/errors.ts';
import type { Logger } from '../../environment/environment.ts';
import type { ServerConnection } from '../http/server-connection.ts';

/** Asked again, it would answer the same. */
const NOT_DONE: ReadonlySet<string> = new Set(['unsupported_parameter', 'invalid_request', 'llm_bad_reply']);

/** Has a server drop what its slots hold. A server that does not is told of once. */
export class SlotErasure {
  readonly #connection: ServerConnection;
  readonly #logger: Logger;
  #isToldOf = false;

  constructor(connection: ServerConnection, logger: Logger) {
    this.#connection = connection;
    this.#logger = logger;
  }

  /**
   * What the slot holds is gone, without a copy, once what is under way there has ended (`POST /slots/{id}?action=erase`); not from a
   * server that was started without `--slot-save-path`, or has something before it that lets this not through. Throws as
   * {@link ServerConnection} does.
   */
  async erase(slot: number, signal: AbortSignal): Promise<void> {
    if ((await this.#isErased(slot, signal)) || this.#isToldOf) return;
    this.#isToldOf = true;
    this.#logger.warn('llama_server_keeps_slots', {
      url: this.#connection.url.origin,
      effect: 'what an erased user said stays in its KV cache until other contexts push it out, or it is started again',
      advice: 'start llama-server with --slot-save-path DIR and --cache-ram 0',
    });
  }

  async #isErased(slot: number, signal: AbortSignal): Promise<boolean> {
    try {
      const reply = await this.#connection.post(`slots/${slot}?action=erase`, '{}', signal);
      return typeof (reply as { n_erased?: unknown } | null)?.n_erased === 'number';
    } catch (error) {
      if (error instanceof DiscedgeError && NOT_DONE.has(error.code)) return false;
      throw error;
    }
  }
}
