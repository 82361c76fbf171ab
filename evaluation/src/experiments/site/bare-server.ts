import { DiscedgeError } from 'discedge/internal/domain/errors';
import type { KnownNode } from '../../nodes/known-node.ts';
import type { ExperimentModel } from '../experiment-model.ts';

interface Props {
  readonly chat_template?: string;
  readonly bos_token?: string;
  readonly eos_token?: string;
  readonly build_info?: string;
  readonly default_generation_settings?: { readonly n_ctx?: number };
}

/** A llama-server without an edge node, as clients that keep the history themselves see it. */
export async function bareServer(url: string, model: ExperimentModel): Promise<KnownNode> {
  const response = await fetch(`${url}/props`);
  if (!response.ok) throw new DiscedgeError('experiment_unavailable', `${url}/props answers ${response.status}`);
  const props = (await response.json()) as Props;
  return {
    url,
    nodeId: 'llama-server',
    version: props.build_info ?? 'unknown',
    model: model.name,
    contextTokens: props.default_generation_settings?.n_ctx ?? 0,
    keygroup: '',
    modes: ['client-side'],
    prompt: {
      chatTemplate: props.chat_template || undefined,
      bosText: props.bos_token ?? '',
      eosText: props.eos_token ?? '',
    },
  };
}
