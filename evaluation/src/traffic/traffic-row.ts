import { csvLine } from '../scenario/run-csv.ts';
import type { TcpPacket } from './tcp-packet.ts';
import type { TrafficTotal } from './traffic-totals.ts';

/** Version of the rows; a reader refuses others. */
export const TRAFFIC_FORMAT = 1;

export interface TrafficStart {
  readonly kind: 'traffic_start';
  readonly format: typeof TRAFFIC_FORMAT;
  readonly at: string;
  readonly version: string;
  readonly commit: string;
  readonly machine: string;
  readonly ports: readonly number[];
  /** `any`: all of them; empty: as tcpdump chose. */
  readonly interface: string;
  readonly duration_ms: number;
}

export interface TrafficEnd {
  readonly kind: 'traffic_end';
  readonly format: typeof TRAFFIC_FORMAT;
  readonly at: string;
  /** Whether it captured as long as it was to, and lost nothing. A file without this row is incomplete too. */
  readonly complete: boolean;
  /** `done`, `interrupted`, or what went wrong. */
  readonly reason: string;
  readonly dropped_packets: number;
  readonly unreadable_frames: number;
  readonly oversized_packets: number;
  readonly interfaces: number;
  readonly directions: readonly TrafficTotal[];
  readonly all: TrafficTotal;
}

/** The prototype's columns, then ours. */
const COLUMNS = [
  ...['timestamp', 'source_ip', 'type', 'bytes', 'packet_number'],
  ...[
    'source_port',
    'destination_ip',
    'destination_port',
    'payload_bytes',
    'overhead_bytes',
    'sequence',
    'interface_index',
  ],
];

export function trafficCsvHeader(): string {
  return csvLine(COLUMNS);
}

export function trafficCsvRow(packet: TcpPacket, packetNumber: number): string {
  return csvLine(Object.values(packetRow(packet, packetNumber)));
}

/** `timestamp` in seconds since 1970 to the microsecond, as tcpdump prints it. */
export function packetRow(packet: TcpPacket, packetNumber: number) {
  const { timestampUs, bytes, payloadBytes } = packet;
  return {
    timestamp: (timestampUs / 1_000_000).toFixed(6),
    source_ip: packet.sourceIp,
    type: packet.type,
    bytes,
    packet_number: packetNumber,
    source_port: packet.sourcePort,
    destination_ip: packet.destinationIp,
    destination_port: packet.destinationPort,
    payload_bytes: payloadBytes,
    overhead_bytes: bytes - payloadBytes,
    sequence: packet.sequence,
    interface_index: packet.interfaceIndex ?? null,
  };
}
