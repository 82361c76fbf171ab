import type { SealedRecord } from '../domain/record/record-codec.ts';
import type { Logger } from '../environment/environment.ts';
import type { RecordListener, RecordSource } from './context-store.ts';

/** Those whom a store tells of its records; see `ContextStore.onRecord`. */
export class RecordListeners {
  readonly #logger: Logger;
  readonly #subscriptions = new Set<{ readonly listener: RecordListener }>();
  /** The record that is being told, then those that listeners have written meanwhile. */
  readonly #untold: { readonly sealed: SealedRecord; readonly from: RecordSource }[] = [];

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
    this.#untold.push({ sealed, from });
    if (this.#untold.length > 1) return;
    for (let next = this.#untold[0]; next !== undefined; next = this.#untold[0]) {
      for (const { listener } of this.#subscriptions) this.#call(listener, next);
      this.#untold.shift();
    }
  }

  #call(
    listener: RecordListener,
    { sealed, from }: { readonly sealed: SealedRecord; readonly from: RecordSource },
  ): void {
    const failed = (error: unknown) => this.#logger.error('record_listener_failed', {}, error);
    try {
      const result: unknown = listener(sealed, from);
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
