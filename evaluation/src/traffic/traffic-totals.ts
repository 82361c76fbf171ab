import type { TcpPacket } from './tcp-packet.ts';

/** What was sent in one direction between two addresses. */
export interface TrafficTotal {
  /** Address; with its port at the end that has one of the ports watched. */
  readonly from: string;
  readonly to: string;
  readonly packets: number;
  /** Of them, those that carry payload. */
  readonly dataPackets: number;
  readonly bytes: number;
  readonly payloadBytes: number;
  /** Headers: `bytes` − `payloadBytes`. */
  readonly overheadBytes: number;
}

/** Larger ones reach Ethernet as several packets, cut up by the network card or kept together by a loopback interface. */
export const FRAME_BYTES_MAX = 1_514;

/** Adds packets up by direction. */
export class TrafficTotals {
  /** Packets larger than an Ethernet frame: on a wire there are more packets and more headers than were counted. */
  oversized = 0;
  /** Those with packets, by the system's number; empty where it does not tell. */
  readonly interfaces = new Set<number>();
  readonly #ports: ReadonlySet<number>;
  readonly #directions = new Map<string, TrafficTotal>();

  constructor(ports: readonly number[]) {
    this.#ports = new Set(ports);
  }

  add(packet: TcpPacket): void {
    const from = this.#end(packet.sourceIp, packet.sourcePort);
    const to = this.#end(packet.destinationIp, packet.destinationPort);
    const key = `${from} ${to}`;
    this.#directions.set(key, plus(this.#directions.get(key) ?? nothing(from, to), packet));
    if (packet.bytes > FRAME_BYTES_MAX) this.oversized++;
    if (packet.interfaceIndex !== undefined) this.interfaces.add(packet.interfaceIndex);
  }

  /** The most bytes first. */
  get directions(): TrafficTotal[] {
    return [...this.#directions.values()].sort((a, b) => b.bytes - a.bytes);
  }

  get all(): TrafficTotal {
    return this.directions.reduce(sum, nothing('', ''));
  }

  #end(ip: string, port: number): string {
    const host = ip.includes(':') ? `[${ip}]` : ip;
    return this.#ports.has(port) ? `${host}:${port}` : host;
  }
}

function nothing(from: string, to: string): TrafficTotal {
  return { from, to, packets: 0, dataPackets: 0, bytes: 0, payloadBytes: 0, overheadBytes: 0 };
}

function plus(total: TrafficTotal, { bytes, payloadBytes }: TcpPacket): TrafficTotal {
  const dataPackets = payloadBytes > 0 ? 1 : 0;
  return sum(total, { ...total, packets: 1, dataPackets, bytes, payloadBytes, overheadBytes: bytes - payloadBytes });
}

function sum(a: TrafficTotal, b: TrafficTotal): TrafficTotal {
  return {
    from: a.from,
    to: a.to,
    packets: a.packets + b.packets,
    dataPackets: a.dataPackets + b.dataPackets,
    bytes: a.bytes + b.bytes,
    payloadBytes: a.payloadBytes + b.payloadBytes,
    overheadBytes: a.overheadBytes + b.overheadBytes,
  };
}
