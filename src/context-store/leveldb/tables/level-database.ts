import { type ChainedBatch, ClassicLevel, type IteratorOptions } from 'classic-level';
import { decodeKey, encodeKey, encodeKeyEnd, type KeyParts } from './key-codec.ts';

/** Blocks read and kept in memory. */
const BLOCK_CACHE_BYTES = 8 * 1024 * 1024;
/** What is new and not in a table file yet, twice at most; what a start has to read again. */
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;
/** Table files of 2 MB that are open, and so mapped, at once: LevelDB opens 64 of these at least. */
const OPEN_FILES_MAX = 128;
/** Entries that an iterator fetches in one go, on a thread of the pool, and their bytes. */
const CHUNK_ENTRIES = 500;
const CHUNK_BYTES = 256 * 1024;

type Level = ClassicLevel<Uint8Array, Uint8Array>;
type Batch = ChainedBatch<Level, Uint8Array, Uint8Array>;
export type LevelSnapshot = ReturnType<Level['snapshot']>;

/** Part of a table, in the order of its keys. A key's first parts stand for all keys that begin with them. */
export interface KeyRange {
  readonly within?: KeyParts;
  /** Inclusive. */
  readonly from?: KeyParts;
  /** One whole key, exclusive. */
  readonly after?: KeyParts | undefined;
  /** Exclusive. */
  readonly before?: KeyParts;
  readonly newestFirst?: boolean;
  readonly limit?: number | undefined;
}

/** Reads see what is committed, or what was when the snapshot was taken. */
export interface Table<Key extends KeyParts, Value> {
  /** From memory or, seldom, from the disk while everything else waits. */
  get(key: Key, at?: LevelSnapshot): Value | undefined;
  keys(range?: KeyRange, at?: LevelSnapshot): AsyncIterable<Key>;
  entries(range?: KeyRange, at?: LevelSnapshot): AsyncIterable<{ readonly key: Key; readonly value: Value }>;
  /** Part of the `write` that calls it. */
  put(key: Key, value: Value): void;
  /** Part of the `write` that calls it. */
  remove(key: Key): void;
}

/** How a table's keys and values lie in the one space of bytes that LevelDB has. */
export interface TableForm<Value> {
  /** Of one byte; its own. */
  readonly prefix: string;
  /** See {@link decodeKey}. */
  readonly shape: string;
  /** `key` as it lies in the database. */
  readonly encode: (value: Value, key: Uint8Array) => Uint8Array;
  readonly decode: (bytes: Uint8Array, key: Uint8Array) => Value;
}

/** All keys of a table that begin with `from`, or those from there on and before others. */
export interface TablePart {
  readonly prefix: string;
  readonly from: KeyParts;
  readonly before?: KeyParts;
}

/** Of no table. */
const NO_KEY = new Uint8Array([0]);

/** LevelDB with tables. All throw its errors. */
export class LevelDatabase {
  readonly #level: Level;
  /** While the tables are written. It takes half the time of a list of operations, whose objects the database would read one by one. */
  #batch: Batch | undefined;

  private constructor(level: Level) {
    this.#level = level;
  }

  /** What an earlier process had written and not synced is synced when it resolves, or gone. */
  static async open(path: string): Promise<LevelDatabase> {
    const level: Level = new ClassicLevel(path, { keyEncoding: 'view', valueEncoding: 'view' });
    await level.open({
      cacheSize: BLOCK_CACHE_BYTES,
      writeBufferSize: WRITE_BUFFER_BYTES,
      maxOpenFiles: OPEN_FILES_MAX,
    });
    return new LevelDatabase(level);
  }

  table<Key extends KeyParts, Value>({ prefix, shape, encode, decode }: TableForm<Value>): Table<Key, Value> {
    const id = prefix.charCodeAt(0);
    const level = this.#level;
    const optionsOf = (range: KeyRange = {}, snapshot?: LevelSnapshot) => {
      const { within = [], from = within, after, before, newestFirst = false, limit = -1 } = range;
      return {
        ...(after === undefined ? { gte: encodeKey(id, from) } : { gt: encodeKey(id, after) }),
        lt: before === undefined ? encodeKeyEnd(id, within) : encodeKey(id, before),
        reverse: newestFirst,
        limit,
        snapshot,
        highWaterMarkBytes: CHUNK_BYTES,
      };
    };
    const keyOf = (bytes: Uint8Array) => decodeKey(bytes, shape) as KeyParts as Key;
    return {
      get(key, snapshot) {
        const inLevel = encodeKey(id, key);
        const bytes = level.getSync(inLevel, snapshot === undefined ? {} : { snapshot });
        return bytes === undefined ? undefined : decode(bytes, inLevel);
      },
      async *keys(range, snapshot) {
        const options = { ...optionsOf(range, snapshot), values: false };
        for await (const [key] of iterated(level, options)) yield keyOf(key);
      },
      async *entries(range, snapshot) {
        for await (const [key, value] of iterated(level, optionsOf(range, snapshot)))
          yield { key: keyOf(key), value: decode(value, key) };
      },
      put: (key, value) => {
        const inLevel = encodeKey(id, key);
        this.#open().put(inLevel, encode(value, inLevel));
      },
      remove: (key) => void this.#open().del(encodeKey(id, key)),
    };
  }

  /**
   * Everything that `ops` puts and removes becomes durable at once, or nothing does; nothing is done when it throws. Resolves
   * after one sync. After a rejection nobody knows which it was, until the database is opened again.
   */
  async write(ops: () => void): Promise<void> {
    const batch = this.#level.batch();
    this.#batch = batch;
    try {
      ops();
    } catch (error) {
      await batch.close();
      throw error;
    } finally {
      this.#batch = undefined;
    }
    await batch.write({ sync: true });
  }

  /**
   * Writes the files anew that hold these parts of tables, so that none of them has what was removed there. Takes reading and
   * writing them, beside whatever else goes on.
   */
  async rewrite(parts: readonly TablePart[]): Promise<void> {
    // What is in memory alone comes into a file: what was removed, and that it was.
    await this.#level.compactRange(NO_KEY, NO_KEY);
    for (const { prefix, from, before } of parts) {
      const id = prefix.charCodeAt(0);
      const start = encodeKey(id, from);
      await this.#rewrite(start, before === undefined ? encodeKeyEnd(id, from) : encodeKey(id, before));
    }
  }

  /** The lowest file of a range is written anew only with one that lies over it. Neither key is any entry's. */
  async #rewrite(start: Uint8Array, end: Uint8Array): Promise<void> {
    await this.#level.batch([start, end].map((key) => ({ type: 'del' as const, key })));
    await this.#level.compactRange(start, end);
  }

  #open(): Batch {
    if (this.#batch === undefined) throw new TypeError('a table is written outside of a write');
    return this.#batch;
  }

  /** What is committed now, for as long as `look` takes. */
  async atOnce<T>(look: (snapshot: LevelSnapshot) => Promise<T>): Promise<T> {
    const snapshot = this.#level.snapshot();
    try {
      return await look(snapshot);
    } finally {
      await snapshot.close();
    }
  }

  /** Waits for a write under way; ends the iterators that are open. */
  close(): Promise<void> {
    return this.#level.close();
  }
}

/** Closes the iterator, also when it is left early. */
async function* iterated(
  level: Level,
  options: IteratorOptions<Uint8Array, Uint8Array>,
): AsyncIterable<[Uint8Array, Uint8Array]> {
  const iterator = level.iterator(options);
  try {
    for (;;) {
      const chunk = await iterator.nextv(CHUNK_ENTRIES);
      if (chunk.length === 0) return;
      yield* chunk;
    }
  } finally {
    await iterator.close();
  }
}
