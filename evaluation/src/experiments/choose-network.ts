import { DiscedgeError } from 'discedge/internal/domain/errors';
import { whyNoNamespaces } from '../network/namespace-run.ts';
import { FAST, LOOPBACK } from './parts/links.ts';
import type { LinkFacts, NetworkFacts } from './rows/experiment-rows.ts';

export type NetworkWish = 'auto' | 'namespaces' | 'loopback';

export interface ChosenNetwork {
  readonly network: NetworkFacts;
  /** Why there are no namespaces, where nobody insisted on them. */
  readonly whyNot: string | undefined;
}

/**
 * Namespaces where they can be made or where the links ask for them. Throws `experiment_unavailable` where they are asked
 * for and cannot be made.
 */
export function chooseNetwork(
  wish: NetworkWish,
  links: { readonly client?: LinkFacts | undefined; readonly node?: LinkFacts | undefined },
): ChosenNetwork {
  const asked = wish === 'namespaces' || links.client !== undefined || links.node !== undefined;
  if (wish === 'loopback' && asked) {
    throw new DiscedgeError('config_invalid', 'delay, loss and bandwidth need --network namespaces, not loopback');
  }
  const whyNot = wish === 'loopback' ? undefined : whyNoNamespaces();
  if (whyNot !== undefined && asked) {
    const message = `the network that is asked for cannot be made: ${whyNot}`;
    throw new DiscedgeError('experiment_unavailable', `${message}; leave out --network and the links' settings`);
  }
  if (wish === 'loopback' || whyNot !== undefined) return { network: LOOPBACK, whyNot };
  const { client: client_link = FAST, node: node_link = FAST } = links;
  return { network: { kind: 'namespaces', client_link, node_link }, whyNot: undefined };
}
