/** What came of one turn. */
export interface Reply {
  readonly text: string;
  readonly sessionId: string;
  readonly userId: string;
  /** Number of the turn that this reply completes. */
  readonly turn: number;
  /** Names the exact history up to and including this turn. */
  readonly contextId: string;
  readonly mode: string;
  /** Id of the edge node that answered. */
  readonly node: string;
  readonly model: string;
  /** Why the reply ended: `eos` (by itself), `limit` (longest reply reached), `word` (a stop word). */
  readonly stopType: string;
  readonly stoppingWord: string;
  /** The turn had been stored before, and this is its stored reply. */
  readonly replayed: boolean;
  /**
   * False when the node could not make sure that no other one answers this very turn, as when a link is cut: the session may
   * then have a second branch.
   */
  readonly arbitrated: boolean;
  /** The last turn that the reply takes into account; below `turn` − 1 only under `available`. */
  readonly basedOnTurn: number;
  /** Earlier turns left out because the context exceeded the window. */
  readonly droppedTurns: number;
  /** Ids of the context so far that were evaluated again because the chat template has earlier turns otherwise now. */
  readonly rewrittenTokens: number;
  /** How long the node waited for the turn before, in milliseconds. */
  readonly waitedMs: number;
  /** What was reached, `local` or `replicated`. */
  readonly writeConcern: string;
  /** Nodes known to have the turn on disk, the one that answered included. */
  readonly replicas: number;
  readonly usage: Usage;
  /** The node's answer as it came: llama.cpp's fields and DisCEdge's. */
  readonly wire: Readonly<Record<string, unknown>>;
}

export interface Usage {
  /** Prompt tokens found in the LLM Service's KV cache. */
  readonly cachedTokens: number;
  /** Prompt tokens evaluated for this turn. */
  readonly evaluatedTokens: number;
  /** Tokens of the reply. */
  readonly predictedTokens: number;
  readonly promptMs: number;
  readonly predictedMs: number;
}

/** Reads a node's answer; `undefined` when it is not one. */
export function parseReply(wire: unknown, text?: string): Reply | undefined {
  if (typeof wire !== 'object' || wire === null) return undefined;
  const fields = wire as Readonly<Record<string, unknown>>;
  const { session_id: sessionId, context_id: contextId, turn, content } = fields;
  if (typeof sessionId !== 'string' || typeof turn !== 'number' || typeof content !== 'string') return undefined;
  const timings = (fields.timings ?? {}) as Readonly<Record<string, unknown>>;
  return {
    text: text ?? content,
    sessionId,
    userId: textOf(fields.user_id),
    turn,
    contextId: textOf(contextId),
    mode: textOf(fields.mode),
    node: textOf(fields.node),
    model: textOf(fields.model),
    stopType: textOf(fields.stop_type),
    stoppingWord: textOf(fields.stopping_word),
    replayed: fields.replayed === true,
    arbitrated: fields.arbitrated !== false,
    basedOnTurn: numberOf(fields.based_on_turn, turn - 1),
    droppedTurns: numberOf(fields.dropped_turns),
    rewrittenTokens: numberOf(fields.tokens_rewritten),
    waitedMs: numberOf(fields.waited_ms),
    writeConcern: textOf(fields.write_concern),
    replicas: numberOf(fields.replicas, 1),
    usage: {
      // llama.cpp's `tokens_cached` is the slot's total afterwards; reuse is `timings.cache_n`.
      cachedTokens: numberOf(timings.cache_n),
      evaluatedTokens: numberOf(timings.prompt_n),
      predictedTokens: numberOf(timings.predicted_n, numberOf(fields.tokens_predicted)),
      promptMs: numberOf(timings.prompt_ms),
      predictedMs: numberOf(timings.predicted_ms),
    },
    wire: fields,
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown, otherwise = 0): number {
  return typeof value === 'number' ? value : otherwise;
}
