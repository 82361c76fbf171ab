import { LargestFirst } from './largest-first.ts';

/** Who has used nothing for so long is no longer there: what it left makes room first, by when it was used. */
export const OWNER_IDLE_MS = 600_000;

interface Owner<Value> {
  bytes: number;
  place: number;
  /** Least recently used first. */
  readonly entries: Map<string, Entry<Value>>;
}

interface Entry<Value> {
  readonly owner: Owner<Value>;
  readonly ownerId: string;
  readonly value: Value;
  bytes: number;
  usedAtMs: number;
}

/**
 * Values by key in bounded room, which their owners share. The least recently used goes first; but while all were used within
 * {@link OWNER_IDLE_MS}, none is taken from an owner with no more than an equal part of the room: the owner with most gives its
 * least recently used one. So nobody loses anything to somebody else before its part is used up. The last value stays, whatever its size.
 */
export class SharedRoom<Value> {
  readonly #bytesMax: number;
  readonly #nowMs: () => number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #owners = new Map<string, Owner<Value>>();
  readonly #bySize = new LargestFirst<Owner<Value>>();
  #bytes = 0;

  constructor(bytesMax: number, nowMs: () => number) {
    this.#bytesMax = bytesMax;
    this.#nowMs = nowMs;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Counts as a use. */
  use(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.usedAtMs = this.#nowMs();
    moveToEnd(this.#entries, key, entry);
    moveToEnd(entry.owner.entries, key, entry);
    return entry.value;
  }

  /** Counts as none. */
  peek(key: string): Value | undefined {
    return this.#entries.get(key)?.value;
  }

  /** In the place of what was there under this key. */
  put(key: string, ownerId: string, value: Value, bytes: number): void {
    this.delete(key);
    let owner = this.#owners.get(ownerId);
    if (owner === undefined) {
      owner = { bytes: 0, place: 0, entries: new Map() };
      this.#owners.set(ownerId, owner);
      this.#bySize.add(owner);
    }
    const entry: Entry<Value> = { owner, ownerId, value, bytes: 0, usedAtMs: this.#nowMs() };
    this.#entries.set(key, entry);
    owner.entries.set(key, entry);
    this.grow(key, bytes);
  }

  /** It takes so many bytes more. */
  grow(key: string, bytes: number): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#count(entry, bytes);
    this.#makeRoom();
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    const { owner, ownerId, bytes } = entry;
    this.#count(entry, -bytes);
    this.#entries.delete(key);
    owner.entries.delete(key);
    if (owner.entries.size > 0) return;
    this.#owners.delete(ownerId);
    this.#bySize.remove(owner);
  }

  #count(entry: Entry<Value>, bytes: number): void {
    entry.bytes += bytes;
    this.#bytes += bytes;
    this.#bySize.resize(entry.owner, entry.owner.bytes + bytes);
  }

  #makeRoom(): void {
    while (this.#bytes > this.#bytesMax && this.#entries.size > 1) this.delete(this.#next());
  }

  /** What goes next. */
  #next(): string {
    const [key, { owner, usedAtMs }] = firstOf(this.#entries);
    const isThere = this.#nowMs() - usedAtMs < OWNER_IDLE_MS;
    const isWithinPart = owner.bytes <= this.#bytesMax / this.#owners.size;
    if (!isThere || !isWithinPart) return key;
    // Somebody has more than a part of it, or there would be room.
    return firstOf((this.#bySize.largest as Owner<Value>).entries)[0];
  }
}

function moveToEnd<Value>(entries: Map<string, Value>, key: string, value: Value): void {
  entries.delete(key);
  entries.set(key, value);
}

function firstOf<Value>(entries: ReadonlyMap<string, Value>): [string, Value] {
  return entries.entries().next().value as [string, Value];
}
