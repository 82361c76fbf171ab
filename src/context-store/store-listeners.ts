import type { SessionKey } from '../domain/identifiers.ts';
import type { SealedRecord } from '../domain/record/record-codec.ts';
import type { Logger } from '../environment/environment.ts';
import type { RecordListener, RecordSource, RemovalListener } from './context-store.ts';

/** Those whom a store tells of its records and of what it removes; see `ContextStore.onRecord` and `onRemoved`. */
export class StoreListeners {
  readonly #logger: Logger;
  readonly #ofRecords = new Set<{ readonly listener: RecordListener }>();
  readonly #ofRemovals = new Set<{ readonly listener: RemovalListener }>();
  /** What is being told, then what listeners have caused meanwhile. */
  readonly #untold: (() => void)[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Returns a function that ends it. */
  onRecord(listener: RecordListener): () => void {
    return subscribed(this.#ofRecords, listener);
  }

  /** Returns a function that ends it. */
  onRemoved(listener: RemovalListener): () => void {
    return subscribed(this.#ofRemovals, listener);
  }

  tell(sealed: SealedRecord, from: RecordSource): void {
    this.#tellInOrder(() => {
      for (const { listener } of this.#ofRecords) this.#call(() => listener(sealed, from));
    });
  }

  tellRemoved(key: SessionKey): void {
    this.#tellInOrder(() => {
      for (const { listener } of this.#ofRemovals) this.#call(() => listener(key));
    });
  }

  #tellInOrder(tellAll: () => void): void {
    this.#untold.push(tellAll);
    if (this.#untold.length > 1) return;
    for (let next = this.#untold[0]; next !== undefined; next = this.#untold[0]) {
      next();
      this.#untold.shift();
    }
  }

  #call(listen: () => unknown): void {
    const failed = (error: unknown) => this.#logger.error('record_listener_failed', {}, error);
    try {
      const result = listen();
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

function subscribed<Listener>(all: Set<{ readonly listener: Listener }>, listener: Listener): () => void {
  const subscription = { listener };
  all.add(subscription);
  return () => void all.delete(subscription);
}
