import type { Database, Key, RangeOptions } from 'lmdb';

/** A table whose puts and removes are kept until their transaction is written. Reads see what is committed. */
export interface Table<Value, TableKey extends Key> {
  get(key: TableKey): Value | undefined;
  doesExist(key: TableKey): boolean;
  getKeys(range?: RangeOptions): Iterable<TableKey>;
  getKeysCount(range: RangeOptions): number;
  getRange(range: RangeOptions): Iterable<{ readonly key: TableKey; readonly value: Value }>;
  put(key: TableKey, value: Value): void;
  remove(key: TableKey): void;
}

/** What a transaction will do, known before it begins. */
export interface Pending {
  readonly puts: number;
  readonly removes: number;
  /** Of each value put whose size is known beforehand; the others are small. */
  readonly valueBytes: readonly number[];
}

export class PendingWrites {
  #writes: (() => void)[] = [];
  #puts = 0;
  #valueBytes: number[] = [];

  table<Value, TableKey extends Key>(database: Database<Value, TableKey>): Table<Value, TableKey> {
    return {
      get: (key) => database.get(key),
      doesExist: (key) => database.doesExist(key),
      getKeys: (range) => database.getKeys(range),
      getKeysCount: (range) => database.getKeysCount(range),
      getRange: (range) => database.getRange(range),
      put: (key, value) => {
        this.#puts++;
        if (value instanceof Uint8Array || typeof value === 'string') this.#valueBytes.push(value.length);
        this.#writes.push(() => void database.put(key, value));
      },
      remove: (key) => void this.#writes.push(() => void database.remove(key)),
    };
  }

  /** What `ops` puts and removes; nothing when it throws. `apply` does it, inside a transaction. */
  collect(ops: () => void): Pending & { apply(): void } {
    const writes: (() => void)[] = [];
    const valueBytes: number[] = [];
    this.#writes = writes;
    this.#valueBytes = valueBytes;
    this.#puts = 0;
    ops();
    const apply = () => {
      for (const write of writes) write();
    };
    return { puts: this.#puts, removes: writes.length - this.#puts, valueBytes, apply };
  }
}
