import type { ContextStore } from '../../context-store/context-store.ts';
import { type SealedRecord, sealRecord } from '../../domain/record/record-codec.ts';
import { type SessionRecord, sessionKeyOf } from '../../domain/record/turn-record.ts';
import type { SessionCache } from './session-cache.ts';

/** Writes records of this node: into the store first, then into the cache. */
export class RecordWriter {
  readonly #store: ContextStore;
  readonly #cache: SessionCache;

  constructor({ store, cache }: { readonly store: ContextStore; readonly cache: SessionCache }) {
    this.#store = store;
    this.#cache = cache;
  }

  /** The record is durable on this node when it resolves (DESIGN §3.8). Throws what `append` throws. */
  write(record: SessionRecord): Promise<SealedRecord> {
    return this.writeSealed(sealRecord(record));
  }

  async writeSealed(sealed: SealedRecord): Promise<SealedRecord> {
    const { record } = sealed;
    try {
      await this.#store.append(sealed, { continues: record.kind === 'turn' && record.turn > 1 });
    } catch (error) {
      // It may have been stored all the same: only the store knows, and a retry must find it.
      this.#cache.forget(sessionKeyOf(record));
      throw error;
    }
    this.#cache.add(sealed);
    return sealed;
  }
}
