import type { SealedRecord } from '../domain/record/record-codec.ts';
import type { Logger } from '../environment/environment.ts';
import type { RecordListener, RecordSource } from './context-store.ts';

/** Those whom a store tells of its records; see `ContextStore.onRecord`. */
export class RecordListeners {
  readonly #logger: Logger;
  readonly #subscriptions = new Set<{ readonly listener: RecordListener }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Returns a function that ends it. */
  add(listener: RecordListener): () => void {
    const subscription = { listener };
    this.#subscriptions.add(subscription);
    return () => void this.#subscriptions.delete(subscription);
  }

  tell(sealed: SealedRecord, from: RecordSource): void {
    for (const { listener } of this.#subscriptions) {
      try {
        listener(sealed, from);
      } catch (error) {
        this.#logger.error('record_listener_failed', {}, error);
      }
    }
  }
}
