import type { NetworkFacts, PartFacts } from '../../experiments/rows/experiment-rows.ts';
import { settingLabel } from '../labels.ts';

type Fact = readonly [name: string, value: string];

/** How a part was played, for the table of how a run was made. */
export function partFacts({ part, turns, nodes, max_tokens, networks }: PartFacts): Fact[] {
  const size = `${turns} turns of at most ${max_tokens} tokens, ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
  return [[part, size], ...networkFacts(part, networks)];
}

/** One fact where all settings of a part have the same network. */
function networkFacts(part: string, networks: PartFacts['networks']): Fact[] {
  const each = Object.entries(networks).map(([setting, network]) => ({ setting, text: networkText(network) }));
  if (new Set(each.map(({ text }) => text)).size > 1) {
    return each.map(({ setting, text }) => [`network of ${part}, ${settingLabel(setting)}`, text]);
  }
  return each.slice(0, 1).map(({ text }) => [`network of ${part}`, text]);
}

function networkText({ kind, client_link, node_link }: NetworkFacts): string {
  const link = ({ delay_ms, loss, mbit_per_s }: typeof client_link) => {
    const rate = mbit_per_s === null ? 'any bandwidth' : `${mbit_per_s} Mbit/s`;
    return `${delay_ms} ms one way, ${loss * 100} % loss, ${rate}`;
  };
  return kind === 'loopback'
    ? 'loopback of one machine'
    : `network namespaces; to the client ${link(client_link)}; between nodes ${link(node_link)}`;
}
