/** What a {@link LargestFirst} keeps in order: its size, and where it is there, which only that may change. */
export interface Sized {
  bytes: number;
  place: number;
}

/** Things by their size, the largest at hand: a binary heap that knows each one's place, so that a size may change. */
export class LargestFirst<Item extends Sized> {
  readonly #items: Item[] = [];

  get largest(): Item | undefined {
    return this.#items[0];
  }

  add(item: Item): void {
    item.place = this.#items.length;
    this.#items.push(item);
    this.#rise(item);
  }

  resize(item: Item, bytes: number): void {
    item.bytes = bytes;
    this.#rise(item);
    this.#sink(item);
  }

  remove(item: Item): void {
    const last = this.#items.pop() as Item;
    if (last === item) return;
    this.#put(last, item.place);
    this.#rise(last);
    this.#sink(last);
  }

  #rise(item: Item): void {
    while (item.place > 0) {
      const parent = this.#items[(item.place - 1) >> 1] as Item;
      if (parent.bytes >= item.bytes) return;
      this.#swap(item, parent);
    }
  }

  #sink(item: Item): void {
    for (;;) {
      const left = this.#items[2 * item.place + 1];
      const right = this.#items[2 * item.place + 2];
      const larger = right !== undefined && left !== undefined && right.bytes > left.bytes ? right : left;
      if (larger === undefined || larger.bytes <= item.bytes) return;
      this.#swap(item, larger);
    }
  }

  #swap(a: Item, b: Item): void {
    const { place } = a;
    this.#put(a, b.place);
    this.#put(b, place);
  }

  #put(item: Item, place: number): void {
    item.place = place;
    this.#items[place] = item;
  }
}
