/** How a reply is made. What is left out, the node decides. */
export interface ReplyOptions {
  /** Longest reply, in tokens. */
  readonly maxTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly seed?: number | undefined;
  /** Texts at which the reply stops. */
  readonly stop?: readonly string[] | undefined;
  /** Further llama.cpp sampling parameters, under their own names. */
  readonly sampling?: Readonly<Record<string, unknown>> | undefined;
}

/** What may be said about a prompt of which nothing is kept. */
export interface PromptOptions extends ReplyOptions {
  /** Aborting ends it. */
  readonly signal?: AbortSignal | undefined;
}

/** What may be said about one turn beside its message. */
export interface TurnOptions extends ReplyOptions {
  readonly consistency?: 'strong' | 'available' | undefined;
  /** How long the node may wait for the turn before to arrive, in milliseconds. */
  readonly maxWaitMs?: number | undefined;
  /** `replicated`: the reply ends when a second node has the turn on disk, or after `replicatedWaitMs`; it says which. */
  readonly writeConcern?: 'local' | 'replicated' | undefined;
  readonly replicatedWaitMs?: number | undefined;
  /** How long the session is to live after this turn. */
  readonly ttlSeconds?: number | undefined;
  readonly overflow?: 'error' | 'drop-oldest' | 'summarize' | 'retrieve' | undefined;
  /** Which context layers the turn does without: the node's regional data, the user's preferences, or both (`false`). */
  readonly layers?: false | { readonly region?: boolean; readonly preferences?: boolean } | undefined;
  /** Ids of nodes where the next turn will probably be sent, at most four: they may evaluate the context before it comes. */
  readonly nextNodes?: readonly string[] | undefined;
  /** What becomes of the reasoning in earlier replies: what the chat template does (the default), or it stays, or it goes. */
  readonly reasoning?: 'as-template' | 'keep' | 'drop' | undefined;
}

/** What only says how a turn is answered, under its wire name: a turn sent again may say it anew. */
const HOW_ANSWERED: ReadonlySet<string> = new Set([
  'consistency',
  'max_wait_ms',
  'write_concern',
  'replicated_wait_ms',
  'ttl_seconds',
  'overflow',
  'layers',
  'reasoning',
  'next_nodes',
]);
/** What makes a request the same turn: its place and its message. */
const SAME_TURN = ['session_id', 'user_id', 'turn', 'context_id', 'mode', 'system', 'prompt'] as const;

export interface TurnAddress {
  readonly sessionId: string;
  readonly userId: string | undefined;
  readonly turn: number;
  readonly contextId: string | undefined;
  readonly mode: 'tokenized' | 'raw' | undefined;
  readonly model: string | undefined;
  readonly system: string | undefined;
}

/** Body of POST /completion. Equal arguments give equal bodies, which is what makes a re-sent turn a replay. */
export function turnRequest(
  text: string,
  address: TurnAddress,
  options: TurnOptions,
): Readonly<Record<string, unknown>> {
  return present({
    ...replyFields(options),
    prompt: text,
    session_id: address.sessionId,
    user_id: address.userId,
    turn: address.turn,
    context_id: address.contextId,
    mode: address.mode,
    model: address.model,
    system: address.system,
    consistency: options.consistency,
    max_wait_ms: options.maxWaitMs,
    write_concern: options.writeConcern,
    replicated_wait_ms: options.replicatedWaitMs,
    ttl_seconds: options.ttlSeconds,
    overflow: options.overflow,
    layers: options.layers,
    reasoning: options.reasoning,
    next_nodes: options.nextNodes,
  });
}

/** The same of a whole prompt, of which nothing is kept. */
export function promptRequest(
  prompt: string | readonly (string | number)[],
  { model, userId }: Pick<TurnAddress, 'model' | 'userId'>,
  options: ReplyOptions,
): Readonly<Record<string, unknown>> {
  return present({ ...replyFields(options), prompt, mode: 'client-side', model, user_id: userId });
}

function replyFields({ sampling, maxTokens, temperature, seed, stop }: ReplyOptions) {
  return { ...sampling, n_predict: maxTokens, temperature, seed, stop };
}

export function present(body: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

export function isSameTurn(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  return SAME_TURN.every((field) => a[field] === b[field]);
}

/**
 * The turn sent again: as `first` in all that decides its reply, so that a node that has stored it replays it, and as `now`
 * in how it is to be answered.
 */
export function turnAgain(
  first: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const decisive = Object.entries(first).filter(([field]) => !HOW_ANSWERED.has(field));
  const how = Object.entries(now).filter(([field]) => HOW_ANSWERED.has(field));
  return Object.fromEntries([...decisive, ...how]);
}
