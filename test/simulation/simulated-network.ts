import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import type { Chance } from '../../tools/chance.ts';

/** One record on its way between two nodes, by name. */
export interface Parcel {
  readonly from: string;
  readonly to: string;
  readonly sealed: SealedRecord;
}

/** Ways between nodes, each with the records that wait on it, in order. A cut way keeps them. */
export class SimulatedNetwork {
  readonly #chance: Chance;
  readonly #ways: readonly { readonly from: string; readonly to: string; parcels: Parcel[]; isCut: boolean }[];

  constructor(names: readonly string[], chance: Chance) {
    this.#chance = chance;
    this.#ways = names.flatMap((from) =>
      names.filter((to) => to !== from).map((to) => ({ from, to, parcels: [], isCut: false })),
    );
  }

  get isEmpty(): boolean {
    return this.#ways.every(({ parcels }) => parcels.length === 0);
  }

  send(from: string, to: string, records: readonly SealedRecord[]): void {
    for (const way of this.#ways) {
      if (way.from === from && way.to === to) way.parcels.push(...records.map((sealed) => ({ from, to, sealed })));
    }
  }

  isOpen(from: string, to: string): boolean {
    return this.#ways.some((way) => way.from === from && way.to === to && !way.isCut);
  }

  /** Some of what waits on one way. */
  take(): Parcel[] {
    const open = this.#ways.filter(({ parcels, isCut }) => parcels.length > 0 && !isCut);
    return open.length === 0 ? [] : this.#chance.of(open).parcels.splice(0, 1 + this.#chance.below(4));
  }

  takeAll(): Parcel[] {
    return this.#ways.flatMap(({ parcels }) => parcels.splice(0));
  }

  /** Cuts a link or brings it back, sometimes in one direction only. */
  toggle(): void {
    const { from, to } = this.#chance.of(this.#ways);
    const isOneWay = this.#chance.oneIn(3);
    for (const way of this.#ways) {
      if (way.from === from && way.to === to) way.isCut = !way.isCut;
      else if (!isOneWay && way.from === to && way.to === from) way.isCut = !way.isCut;
    }
  }

  heal(): void {
    for (const way of this.#ways) way.isCut = false;
  }

  /** Nothing comes from or goes to a node any more that was on its way. */
  forget(name: string): void {
    for (const way of this.#ways) if (way.from === name || way.to === name) way.parcels = [];
  }
}
