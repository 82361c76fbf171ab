/** The nodes of a cluster, as the asked one sees them; itself first. */
export interface NodeDirectory {
  /** `undefined` where the node does not share its contexts. */
  readonly cluster: string | undefined;
  readonly nodes: readonly ListedNode[];
  /** Nodes that wanted to join and may not: why, by id. */
  readonly refused: Readonly<Record<string, string>>;
  /** The node's own words. */
  readonly wire: unknown;
}

export interface ListedNode {
  readonly nodeId: string;
  /** `self`, `connected`, `silent` (its server answers, it does not), `unreachable` or `refused`. */
  readonly state: string;
  /** Why it is not connected. */
  readonly reason: string | undefined;
  /** Of its HTTP API. */
  readonly url: string | undefined;
  readonly location: { readonly latitude: number; readonly longitude: number } | undefined;
  /** The one that a request without a model means there. */
  readonly model: string | undefined;
  /** All that it serves, the default one first. */
  readonly models: readonly string[];
  /** Turns being answered, when it was last seen. */
  readonly load: number | undefined;
  /** Its records that the asked node lacks; the asked node's own that its nats-server lacks. */
  readonly lag: number;
  /** Of the asked node: records written there that no other node is known to have, and that would be lost with its disk. */
  readonly onlyHere: number | undefined;
  /** Of those, the ones of a model, tokenizer or chat template that no other node serves: none takes them. */
  readonly onlyHereUnserved: number | undefined;
  /** Milliseconds since it last answered; 0 for the asked node. */
  readonly lastSeenAgoMs: number | undefined;
  /** Models that the asked node serves under the same name, with another tokenizer or chat template: they share no sessions. */
  readonly unlikeModels: readonly string[];
  /** Of the asked node: why its clock is not to be relied on, in one word; nothing expires there meanwhile. */
  readonly clockDoubt: string | undefined;
  /** How far its time is ahead of the asked node's, in milliseconds; `undefined` where it has not said. */
  readonly clockAheadMs: number | undefined;
  /** Of the asked node, by model: what it evaluates before it is asked to; empty where it does not. */
  readonly warming: readonly ListedWarming[];
  /** Records of it that were not taken in, by reason. */
  readonly refusedRecords: Readonly<Record<string, number>>;
}

/** Counts since the node's start. */
export interface ListedWarming {
  readonly model: string;
  readonly policy: string;
  /** Turns whose session came from another node, by what they found. */
  readonly handovers: { readonly warm: number; readonly kept: number; readonly cold: number };
  readonly warmedTokens: number;
  /** Of those, dropped before a turn used them. */
  readonly wastedTokens: number;
}

/** Reads the answer of `GET /nodes`. */
export function nodeDirectoryOf(wire: unknown): NodeDirectory {
  const { cluster, nodes, refused } = wire as {
    cluster: string | null;
    nodes: WireNode[];
    refused: NodeDirectory['refused'];
  };
  return { cluster: cluster ?? undefined, nodes: nodes.map(listedNode), refused, wire };
}

interface WireNode
  extends Pick<ListedNode, 'state'>,
    Partial<Pick<ListedNode, 'reason' | 'url' | 'location' | 'model' | 'load' | 'lag'>> {
  readonly node: string;
  readonly models?: readonly string[];
  readonly unpublished?: number;
  readonly only_here?: number;
  readonly only_here_unserved?: number;
  readonly last_seen_ms_ago?: number;
  readonly unlike_models?: readonly string[];
  readonly clock?: { readonly doubt?: string; readonly ahead_ms?: number };
  readonly warming?: readonly WireWarming[];
  readonly refused_records?: ListedNode['refusedRecords'];
}

interface WireWarming extends Pick<ListedWarming, 'model' | 'policy'> {
  readonly handovers_warm: number;
  readonly handovers_kept: number;
  readonly handovers_cold: number;
  readonly tokens_warmed: number;
  readonly tokens_wasted: number;
}

function listedNode(wire: WireNode): ListedNode {
  const { node, state, reason, url, location, model, load } = wire;
  return {
    nodeId: node,
    state,
    reason,
    url,
    location,
    model,
    models: wire.models ?? (model === undefined ? [] : [model]),
    load,
    lag: wire.lag ?? wire.unpublished ?? 0,
    onlyHere: wire.only_here,
    onlyHereUnserved: wire.only_here_unserved,
    lastSeenAgoMs: state === 'self' ? 0 : wire.last_seen_ms_ago,
    clockDoubt: wire.clock?.doubt,
    clockAheadMs: wire.clock?.ahead_ms,
    unlikeModels: wire.unlike_models ?? [],
    warming: (wire.warming ?? []).map(listedWarming),
    refusedRecords: wire.refused_records ?? {},
  };
}

function listedWarming({ model, policy, ...counts }: WireWarming): ListedWarming {
  return {
    model,
    policy,
    handovers: { warm: counts.handovers_warm, kept: counts.handovers_kept, cold: counts.handovers_cold },
    warmedTokens: counts.tokens_warmed,
    wastedTokens: counts.tokens_wasted,
  };
}
