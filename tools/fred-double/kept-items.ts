import type { FredItem, FredVersion } from '../../src/context-store/fred/wire/contract.ts';
import { orderOf } from './versions.ts';

interface KeptItem extends FredItem {
  /** Whole seconds; `undefined` for never. */
  readonly expiresAt: number | undefined;
}

/** One keygroup's items in the store of one node: each version of an id is an entry of its own, in the order of `id|`. */
export class KeptItems {
  readonly #now: () => number;
  readonly #versions = new Map<string, KeptItem[]>();
  readonly #ids: string[] = [];

  /** `now` in milliseconds since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  put({ id, value, version }: FredItem, expirySeconds: number): void {
    const expiresAt = expirySeconds > 0 ? Math.floor(this.#now() / 1_000) + expirySeconds : undefined;
    const others = this.#versions.get(id)?.filter((kept) => orderOf(kept.version, version) !== 'equal');
    if (others === undefined) this.#ids.splice(this.#placeOf(id), 0, id);
    this.#versions.set(id, [...(others ?? []), { id, value, version, expiresAt }]);
  }

  drop(id: string, versions: readonly FredVersion[]): void {
    const kept = this.#versions.get(id);
    if (kept === undefined) return;
    const left = kept.filter(({ version }) => !versions.some((gone) => orderOf(gone, version) === 'equal'));
    this.#versions.set(id, left);
  }

  read(id: string): readonly FredItem[] {
    const nowSeconds = this.#now() / 1_000;
    return (this.#versions.get(id) ?? []).filter(({ expiresAt }) => expiresAt === undefined || expiresAt > nowSeconds);
  }

  /** `count` entries, which are versions and not ids, from `id` on. */
  readSome(id: string, count: number): readonly FredItem[] {
    const items: FredItem[] = [];
    for (let at = this.#placeOf(id); at < this.#ids.length && items.length < count; at++) {
      items.push(...this.read(this.#ids[at] as string));
    }
    return items.slice(0, count);
  }

  readAll(): readonly FredItem[] {
    return this.#ids.flatMap((id) => this.read(id));
  }

  #placeOf(id: string): number {
    let [low, high] = [0, this.#ids.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (`${this.#ids[middle]}|` < `${id}|`) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
