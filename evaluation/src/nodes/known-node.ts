import type { Fetch } from 'discedge/client';
import { DiscedgeClientError } from 'discedge/internal/client/errors';
import { Transport } from 'discedge/internal/client/transport';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import type { TokenId } from 'discedge/internal/domain/token-sequence';
import type { Clock } from 'discedge/internal/environment/environment';
import { modelNameFromFile } from 'discedge/internal/llm-service/model-name';
import type { PromptModel } from '../conversation/chat-prompt.ts';
import { MeteredFetch } from '../conversation/metered-fetch.ts';

/** An edge node that runs, as it describes itself. */
export interface KnownNode {
  readonly url: string;
  readonly nodeId: string;
  readonly version: string;
  readonly model: string;
  readonly contextTokens: number;
  /** Names the model identity: nodes with equal ones can share sessions. */
  readonly keygroup: string;
  readonly modes: readonly string[];
  readonly prompt: PromptModel;
}

/** What a node says of itself it says at once. */
const ANSWER_WAIT_MS = 10_000;

/**
 * Asks nodes what they are, all at once. Throws `node_unreachable`, `scenario_nodes_unfit` where something else listens, and
 * `signal.reason`.
 */
export async function getToKnowAll(
  urls: readonly string[],
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<KnownNode[]> {
  const metered = new MeteredFetch(clock);
  try {
    return await Promise.all(urls.map((url) => getToKnow(url, metered.fetch, signal)));
  } finally {
    metered.close();
  }
}

async function getToKnow(url: string, fetch: Fetch, signal: AbortSignal | undefined): Promise<KnownNode> {
  const wire = await ask(url, fetch, signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    if (!(error instanceof DiscedgeClientError) || error.code === 'node_unreachable') throw error;
    throw new DiscedgeError('scenario_nodes_unfit', `${url} is not an edge node: ${error.message}`, { cause: error });
  });
  const props = (wire ?? {}) as Readonly<Record<string, unknown>>;
  const { node, keygroup, model_alias: model, modes, chat_template: template } = props;
  if (typeof node !== 'string' || typeof keygroup !== 'string' || typeof model !== 'string' || !Array.isArray(modes)) {
    throw new DiscedgeError(
      'scenario_nodes_unfit',
      `${url} is not an edge node: its /props lacks node, keygroup and modes`,
    );
  }
  const settings = (props.default_generation_settings ?? {}) as { n_ctx?: number };
  return {
    url,
    nodeId: node,
    version: String(props.version),
    model,
    contextTokens: settings.n_ctx ?? 0,
    keygroup,
    modes,
    prompt: {
      chatTemplate: typeof template === 'string' && template !== '' ? template : undefined,
      bosText: String(props.bos_token ?? ''),
      eosText: String(props.eos_token ?? ''),
    },
  };
}

export interface Demands {
  readonly mode: ContextMode;
  /** `undefined`: any. */
  readonly modelName: string | undefined;
  /** Whether sessions go from node to node. */
  readonly roaming: boolean;
}

/** Throws `scenario_nodes_unfit` with everything about the nodes that does not fit, one a line. */
export function checkNodes(nodes: readonly KnownNode[], { mode, modelName, roaming }: Demands): void {
  const problems = nodes.flatMap(({ url, nodeId, model, modes }) => [
    ...(modelName === undefined || isSameModel(modelName, model)
      ? []
      : [
          `node ${nodeId} (${url}) serves ${model}, the scenario names ${modelName}: use a node with that model, or --any-model`,
        ]),
    ...(modes.includes(mode)
      ? []
      : [`node ${nodeId} (${url}) does not offer mode ${mode} with its model, only ${modes.join(', ')}`]),
  ]);
  const [first, ...others] = nodes;
  const stranger = others.find(({ keygroup }) => keygroup !== first?.keygroup);
  if (first !== undefined && roaming && mode !== 'client-side' && stranger !== undefined) {
    problems.push(
      `nodes ${first.nodeId} and ${stranger.nodeId} serve different models (keygroups ${first.keygroup} and ${stranger.keygroup}): a session cannot go from one to the other`,
    );
  }
  if (problems.length > 0) throw new DiscedgeError('scenario_nodes_unfit', problems.join('\n'));
}

/** As nodes do it: folder, `.gguf` and quantization do not make another model; nor do case and separators here. */
function isSameModel(named: string, served: string): boolean {
  const plain = (name: string) =>
    modelNameFromFile(name)
      .toLowerCase()
      .replaceAll(/[-_. ]/g, '');
  return plain(named) === plain(served);
}

/** Ids of a text, as a node's model has them. */
export async function tokenizeAt(
  { url }: KnownNode,
  fetch: Fetch,
  text: string,
  { parseSpecial }: { readonly parseSpecial: boolean },
): Promise<TokenId[]> {
  const body = { content: text, parse_special: parseSpecial };
  const answer = await transport(fetch).sendForJson(url, { method: 'POST', path: '/tokenize', body });
  return (answer as { tokens: TokenId[] }).tokens;
}

function ask(url: string, fetch: Fetch, signal: AbortSignal | undefined): Promise<unknown> {
  return transport(fetch).impatient(ANSWER_WAIT_MS).sendForJson(url, { method: 'GET', path: '/props', signal });
}

function transport(fetch: Fetch): Transport {
  return new Transport({ fetch, headers: {}, policy: { retriesMax: 0, backoffMs: 0 } });
}
