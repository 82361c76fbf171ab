import type { Clock } from 'discedge/internal/environment/environment';
import type { PacketNetwork } from '../../network/packet-network.ts';

/** A pair of nodes by their places in the site's list. */
export type Pair = readonly [one: number, other: number];

/** IP packets both ways, and their bytes. */
export interface WireReading {
  readonly bytes: number;
  readonly packets: number;
}

/** What went between two nodes so far. */
export interface PairReading {
  readonly payloadBytes: number;
  /** `undefined` where the nodes share one network interface. */
  readonly wire: WireReading | undefined;
}

/** After a turn, how long nothing may go between nodes before its bytes are counted. */
const QUIET_MS = 150;
const LOOK_EVERY_MS = 30;
/** What does not become quiet within it has something else to say; it is counted all the same. */
const SETTLE_MS_MAX = 10_000;

interface MeteredNode {
  readonly url: string;
  readonly nodeId: string;
}

/** Counts what goes between the nodes of a site. */
export class SyncMeter {
  readonly pairs: readonly Pair[];
  readonly #nodes: readonly MeteredNode[];
  readonly #network: PacketNetwork | undefined;
  readonly #clock: Clock;

  /** Node `i` is end `i + 2` of the network. */
  constructor(nodes: readonly MeteredNode[], network: PacketNetwork | undefined, clock: Clock) {
    this.#nodes = nodes;
    this.#network = network;
    this.#clock = clock;
    this.pairs = nodes.flatMap((_, one) => nodes.slice(one + 1).map((_, further): Pair => [one, one + 1 + further]));
  }

  get measured(): 'network-counters' | 'store-counters' {
    return this.#network === undefined ? 'store-counters' : 'network-counters';
  }

  /** Once nothing has been said for `quietMs`; in the order of `pairs`. */
  async settled(quietMs = QUIET_MS): Promise<PairReading[]> {
    const giveUpMs = this.#clock.monotonic() + SETTLE_MS_MAX;
    let before = await this.#fingerprint();
    let sinceMs = this.#clock.monotonic();
    while (this.#clock.monotonic() - sinceMs < quietMs && this.#clock.monotonic() < giveUpMs) {
      await new Promise<void>((resolve) => this.#clock.after(LOOK_EVERY_MS, resolve));
      const now = await this.#fingerprint();
      if (now !== before) sinceMs = this.#clock.monotonic();
      before = now;
    }
    return this.#read();
  }

  /** As they are now, in the order of `pairs`; `undefined` where nodes share one network interface. */
  async wires(): Promise<readonly WireReading[] | undefined> {
    const network = this.#network;
    return network && Promise.all(this.pairs.map(([one, other]) => network.count(one + 2, other + 2)));
  }

  async #fingerprint(): Promise<string> {
    if (this.#network === undefined) return JSON.stringify(await this.#payloads());
    return JSON.stringify(await this.wires());
  }

  async #read(): Promise<PairReading[]> {
    const [payloads, wires] = [await this.#payloads(), await this.wires()];
    return this.pairs.map((_, index) => ({ payloadBytes: payloads[index] as number, wire: wires?.[index] }));
  }

  /** Each node counts its own connection to the other's server: a pair has two. */
  async #payloads(): Promise<number[]> {
    const views = await Promise.all(this.#nodes.map(({ url }) => peersOf(url)));
    const said = (by: number, about: number) => {
      const peer = views[by]?.find(({ node }) => node === this.#nodes[about]?.nodeId);
      return (peer?.bytes_in ?? 0) + (peer?.bytes_out ?? 0);
    };
    return this.pairs.map(([one, other]) => said(one, other) + said(other, one));
  }
}

/** What went between two readings. */
export function between(before: readonly PairReading[], after: readonly PairReading[]): PairReading[] {
  return after.map(({ payloadBytes, wire }, index) => {
    const { payloadBytes: payloadBefore = 0, wire: wireBefore } = before[index] ?? {};
    return {
      payloadBytes: payloadBytes - payloadBefore,
      wire: wire && {
        bytes: wire.bytes - (wireBefore?.bytes ?? 0),
        packets: wire.packets - (wireBefore?.packets ?? 0),
      },
    };
  });
}

async function peersOf(url: string) {
  const answer = (await (await fetch(`${url}/nodes?probe=false`)).json()) as {
    nodes: ReadonlyArray<{ node: string; bytes_in?: number; bytes_out?: number }>;
  };
  return answer.nodes;
}
