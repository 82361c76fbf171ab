/** What came of one prompt. */
export interface Completion {
  readonly text: string;
  /** Id of the edge node that answered; empty where it does not say, as to a client that keeps the history. */
  readonly node: string;
  /** Its URL. */
  readonly url: string;
  readonly model: string;
  /** Why the reply ended: `eos` (by itself), `limit` (longest reply reached), `word` (a stop word). */
  readonly stopType: string;
  readonly stoppingWord: string;
  readonly usage: Usage;
  /** The node's answer as it came: llama.cpp's fields and DisCEdge's. */
  readonly wire: Readonly<Record<string, unknown>>;
}

/** What came of one turn. */
export interface Reply extends Completion {
  readonly sessionId: string;
  readonly userId: string;
  /** Number of the turn that this reply completes. */
  readonly turn: number;
  /** Names the exact history up to and including this turn. */
  readonly contextId: string;
  readonly mode: string;
  /** The turn had been stored before, and this is its stored reply. */
  readonly replayed: boolean;
  /**
   * False when the node could not make sure that no other one answers this very turn, as when a link is cut: the session may
   * then have a second branch.
   */
  readonly arbitrated: boolean;
  /** The last turn that the reply takes into account; below `turn` − 1 only under `available`. */
  readonly basedOnTurn: number;
  /** Turns right before this one that were lost with their node, and that this client handed over. */
  readonly repairedTurns: number;
  /** Earlier turns left out because the context exceeded the window. */
  readonly droppedTurns: number;
  /** Earlier turns of which the model read a summary in their place. */
  readonly summarizedTurns: number;
  /** Numbers of turns that were left out and of which the model read again what was said. */
  readonly retrievedTurns: readonly number[];
  /** What the node has put before the conversation; `undefined` where nothing stood there, and for a replay. */
  readonly layers: ContextLayers | undefined;
  /** Ids of the context so far that were evaluated again because the chat template has earlier turns otherwise now. */
  readonly rewrittenTokens: number;
  /** How long the node waited for the turn before, in milliseconds. */
  readonly waitedMs: number;
  /** What was reached, `local` or `replicated`. */
  readonly writeConcern: string;
  /** Nodes known to have the turn on disk, the one that answered included. */
  readonly replicas: number;
}

/** Texts of the operator, of the node's region and of the user before a conversation, never what they say. */
export interface ContextLayers {
  readonly parts: readonly ContextLayer[];
  /** Ids of the context so far that are evaluated again because layers have changed. */
  readonly rewrittenTokens: number;
}

export interface ContextLayer {
  /** `deployment`, `region` or `preferences`. */
  readonly name: string;
  /** Ids of its text; 0: it stood there in the turn before, and is gone. */
  readonly tokens: number;
  /** Whether it was another one in the turn before, or none. */
  readonly changed: boolean;
}

export interface Usage {
  /** Prompt tokens found in the LLM Service's KV cache. */
  readonly cachedTokens: number;
  /** How many of those the node had evaluated before it was asked to. */
  readonly warmedTokens: number;
  /** Prompt tokens evaluated for this turn. */
  readonly evaluatedTokens: number;
  /** Tokens of the reply. */
  readonly predictedTokens: number;
  readonly promptMs: number;
  readonly predictedMs: number;
}

/** Where an answer came from, and its text where it came in pieces. */
export interface Received {
  readonly url: string;
  readonly text?: string | undefined;
}

/** Reads a node's answer to a prompt that it keeps nothing of; `undefined` when it is not one. */
export function parseCompletion(wire: unknown, { url, text }: Received): Completion | undefined {
  if (typeof wire !== 'object' || wire === null) return undefined;
  const fields = wire as Readonly<Record<string, unknown>>;
  const { content } = fields;
  if (typeof content !== 'string') return undefined;
  const timings = (fields.timings ?? {}) as Readonly<Record<string, unknown>>;
  return {
    text: text ?? content,
    url,
    node: textOf(fields.node),
    model: textOf(fields.model),
    stopType: textOf(fields.stop_type),
    stoppingWord: textOf(fields.stopping_word),
    usage: {
      // llama.cpp's `tokens_cached` is the slot's total afterwards; reuse is `timings.cache_n`.
      cachedTokens: numberOf(timings.cache_n),
      warmedTokens: numberOf(timings.warmed_n),
      evaluatedTokens: numberOf(timings.prompt_n),
      predictedTokens: numberOf(timings.predicted_n, numberOf(fields.tokens_predicted)),
      promptMs: numberOf(timings.prompt_ms),
      predictedMs: numberOf(timings.predicted_ms),
    },
    wire: fields,
  };
}

/** Reads a node's answer to a turn; `undefined` when it is not one. */
export function parseReply(wire: unknown, received: Received): Reply | undefined {
  const completion = parseCompletion(wire, received);
  if (completion === undefined) return undefined;
  const fields = completion.wire;
  const { session_id: sessionId, context_id: contextId, turn } = fields;
  if (typeof sessionId !== 'string' || typeof contextId !== 'string' || typeof turn !== 'number') return undefined;
  return {
    ...completion,
    sessionId,
    userId: textOf(fields.user_id),
    turn,
    contextId,
    mode: textOf(fields.mode),
    replayed: fields.replayed === true,
    arbitrated: fields.arbitrated !== false,
    basedOnTurn: numberOf(fields.based_on_turn, turn - 1),
    repairedTurns: numberOf(fields.repaired_turns),
    droppedTurns: numberOf(fields.dropped_turns),
    summarizedTurns: numberOf(fields.summarized_turns),
    retrievedTurns: listOf(fields.retrieved_turns).filter((turn) => typeof turn === 'number'),
    layers: layersOf(fields.layers),
    rewrittenTokens: numberOf(fields.tokens_rewritten),
    waitedMs: numberOf(fields.waited_ms),
    writeConcern: textOf(fields.write_concern),
    replicas: numberOf(fields.replicas, 1),
  };
}

function layersOf(told: unknown): ContextLayers | undefined {
  if (typeof told !== 'object' || told === null) return undefined;
  const { parts, tokens_rewritten } = told as Readonly<Record<string, unknown>>;
  const layers = listOf(parts).map((part) => {
    const { name, tokens, changed } = (part ?? {}) as Readonly<Record<string, unknown>>;
    return { name: textOf(name), tokens: numberOf(tokens), changed: changed === true };
  });
  return { parts: layers, rewrittenTokens: numberOf(tokens_rewritten) };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown, otherwise = 0): number {
  return typeof value === 'number' ? value : otherwise;
}
