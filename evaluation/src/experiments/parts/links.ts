import type { LinkFacts, NetworkFacts } from '../rows/experiment-rows.ts';

export const FAST: LinkFacts = { delay_ms: 0, loss: 0, mbit_per_s: null };

/** An edge device's way up over a mobile network. */
export const EDGE_UPLINK: LinkFacts = { delay_ms: 40, loss: 0, mbit_per_s: 10 };
/** The same where reception is bad. */
export const POOR_UPLINK: LinkFacts = { delay_ms: 40, loss: 0, mbit_per_s: 1 };

export const LOOPBACK: NetworkFacts = { kind: 'loopback', client_link: FAST, node_link: FAST };
export const NAMESPACES: NetworkFacts = { kind: 'namespaces', client_link: FAST, node_link: FAST };

export function linkName({ delay_ms, loss, mbit_per_s }: LinkFacts): string {
  const rate = mbit_per_s === null ? 'fast' : `${mbit_per_s}mbit`;
  return [rate, `${delay_ms}ms`, ...(loss === 0 ? [] : [`${loss * 100}%loss`])].join('-');
}
