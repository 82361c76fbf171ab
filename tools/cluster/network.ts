import type { Link, PacketNetwork } from '../../evaluation/src/network/packet-network.ts';

/** Of what is sent from now on, nothing arrives. */
export const CUT: Link = { loss: 1 };

/** A packet network that knows what was done to it, and undoes it. End 1 is this process's own; the clients are there. */
export class FaultyNetwork {
  readonly #packets: PacketNetwork;
  readonly #changed = new Map<string, readonly [from: number, to: number]>();

  constructor(packets: PacketNetwork) {
    this.#packets = packets;
  }

  address(end: number): string {
    return this.#packets.address(end);
  }

  /** A command line that runs `words` in the namespace of `end`. */
  enter(end: number, words: readonly string[]): string[] {
    return [...this.#packets.enter(end), ...words];
  }

  /** One direction; resolves when it is in force. */
  async set(from: number, to: number, link: Link): Promise<void> {
    this.#changed.set(`${from} ${to}`, [from, to]);
    await this.#packets.set(from, to, link);
  }

  async setBoth(one: number, other: number, link: Link): Promise<void> {
    await Promise.all([this.set(one, other, link), this.set(other, one, link)]);
  }

  /** All directions as they were made. */
  async heal(): Promise<void> {
    const changed = [...this.#changed.values()];
    this.#changed.clear();
    await Promise.all(changed.map(([from, to]) => this.#packets.set(from, to, {})));
  }

  close(): Promise<void> {
    return this.#packets.close();
  }
}
