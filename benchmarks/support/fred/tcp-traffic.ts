import { execFileSync } from 'node:child_process';
import type { Traffic } from '../joined-namespaces.ts';

/** IPv4's header, and TCP's with its timestamps: what each segment has beside its payload. */
const HEADER_BYTES = 52;

/**
 * What the connections that have been accepted at these ports of this machine have carried since they stand, both ways, as the
 * kernel counts it: a segment is an IP packet. `undefined` where the kernel cannot be asked (`ss`).
 */
export function tcpTraffic(ports: readonly number[]): Traffic | undefined {
  let text: string;
  try {
    text = execFileSync('ss', ['-tinH', ports.map((port) => `sport = :${port}`).join(' or ')], { encoding: 'utf8' });
  } catch {
    return undefined;
  }
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`\\b${name}:(\\d+)`, 'g'))].reduce((total, match) => total + Number(match[1]), 0);
  const packets = sum('segs_in') + sum('segs_out');
  return { packets, bytes: sum('bytes_received') + sum('bytes_sent') + packets * HEADER_BYTES };
}
