import { PrincipalAccounts } from '../../src/access/principal-accounts.ts';
import { ContextManager } from '../../src/context-manager/context-manager.ts';
import { keyedStamps, type LayerSource } from '../../src/context-manager/layers/layer.ts';
import type { TurnText } from '../../src/context-manager/modes/mode.ts';
import type { NodeOptions } from '../../src/context-manager/node-options.ts';
import { NodeResources } from '../../src/context-manager/node-resources.ts';
import type { ReadTurn } from '../../src/context-manager/sessions/sessions.ts';
import type {
  EvaluatedTurn,
  ForwardedReply,
  ForwardRequest,
  TurnReply,
  TurnRequest,
} from '../../src/context-manager/turn/turn.ts';
import type { ContextStore } from '../../src/context-store/context-store.ts';
import { DiscedgeError, type ErrorCode } from '../../src/domain/errors.ts';
import type { ContextId, Incarnation, NodeId, SessionId, TurnNumber, UserId } from '../../src/domain/identifiers.ts';
import type { SealedRecord } from '../../src/domain/record/record-codec.ts';
import type { ContextMode, TurnRecord } from '../../src/domain/record/turn-record.ts';
import type { TurnPlace } from '../../src/domain/session/turn-decision.ts';
import type { TokenSequence } from '../../src/domain/token-sequence.ts';
import { forgetStateOf } from '../../src/edge-node/kept-state/forget-states.ts';
import { nodeTimeOver, timedEnvironment } from '../../src/edge-node/time/timed-environment.ts';
import type { Environment, Metrics } from '../../src/environment/environment.ts';
import { type ChatTemplate, compileChatTemplate } from '../../src/llm-service/chat-template.ts';
import type { Embedder } from '../../src/llm-service/llm-service.ts';
import type { ScriptedOptions } from '../../src/llm-service/scripted.ts';
import { type VirtualEnvironment, virtualEnvironment } from '../../tools/virtual-environment.ts';
import { ProbedLlm } from './probed-llm.ts';
import { ProbedFetchingStore, ProbedReplica, ProbedSharingStore, ProbedStore } from './probed-store.ts';

/** The node's options, and the default mode of its one model. */
type RigNodeOptions = NodeOptions & { readonly defaultMode: ContextMode };

/** A small node on its own. */
export const RIG_NODE_OPTIONS: RigNodeOptions = {
  nodeId: 'node-1' as NodeId,
  incarnation: '0000000a' as Incarnation,
  defaultMode: 'tokenized',
  turnGate: 'event',
  turnGateRetriesMax: 3,
  turnGateBackoffMs: 10,
  ttlSeconds: 3600,
  ttlSecondsMax: 86_400,
  sessionQueueMax: 32,
  turnsInFlightMax: 1024,
  contextCacheBytes: 16 * 1024 * 1024,
  replyTokensDefault: 256,
  replyTokensMax: 1024,
  finishAbandonedMs: 60_000,
  arbiterWaitMs: 50,
  warming: 'off',
  warmingChancePercent: 40,
  warmingIdsPerSecond: undefined,
  warmingKvBytes: undefined,
};

export interface RigOptions {
  readonly options?: Partial<RigNodeOptions>;
  readonly scripted?: ScriptedOptions;
  readonly environment?: VirtualEnvironment;
  /** Counts for the first Context Manager in place of {@link Rig.metrics}. */
  readonly metrics?: Metrics;
  /** Makes vectors of turns that are searched. */
  readonly embedder?: Embedder;
  /** Jinja source in place of the scripted model's ChatML. */
  readonly chatTemplate?: string;
  /** The LLM Service is told what state to forget. */
  readonly forgetsStates?: boolean;
  /** In place of a memory store with much room, behind the probe. */
  readonly storeIn?: (environment: Environment) => ContextStore;
  /** What stands before every conversation; the rigs that have any tell texts apart alike, as nodes of one cluster. */
  readonly layers?: (node: NodeResources) => LayerSource;
}

/** Of all rigs that have layers, as nodes of one cluster. */
export const CLUSTER_STAMPS = keyedStamps(new Uint8Array(32));

/** What a test says of a turn; the rest is as a plain client would send it. */
export type Ask = Partial<Omit<TurnRequest, 'sessionId' | 'userId'>> & {
  text?: string;
  system?: string;
  session?: string | undefined;
  turn?: number | undefined;
  user?: string;
  /** Whose key it comes with, where that matters. */
  principal?: string;
  contextId?: string | undefined;
  /** Aborts when the client leaves. */
  gone?: AbortSignal;
  /** Told each part as it comes. */
  onPart?: (text: string, ids: TokenSequence) => void;
};

/** A Context Manager over a scripted LLM, a memory store and a virtual clock, all of which can be made to misbehave. */
export class Rig<Store extends ProbedStore = ProbedStore> {
  readonly environment: VirtualEnvironment;
  readonly llm: ProbedLlm;
  readonly store: Store;
  /** What the current Context Manager counts. */
  metrics: VirtualEnvironment;
  node: NodeResources;
  manager: ContextManager;
  readonly #template: ChatTemplate;
  readonly #options: RigNodeOptions;
  readonly #embedder: Embedder | undefined;
  readonly #forgetsStates: boolean;
  readonly #layers: RigOptions['layers'];

  constructor(parts: {
    environment: VirtualEnvironment;
    llm: ProbedLlm;
    store: Store;
    template: ChatTemplate;
    options: RigNodeOptions;
    metrics?: Metrics | undefined;
    embedder?: Embedder | undefined;
    forgetsStates: boolean;
    layers?: RigOptions['layers'];
  }) {
    this.environment = parts.environment;
    this.llm = parts.llm;
    this.store = parts.store;
    this.#template = parts.template;
    this.#options = parts.options;
    this.#embedder = parts.embedder;
    this.#forgetsStates = parts.forgetsStates;
    this.#layers = parts.layers;
    this.metrics = virtualEnvironment();
    this.node = this.#startNode(parts.metrics ?? this.metrics.metrics);
    this.manager = this.#startManager();
  }

  /** A new Context Manager over the same store and LLM Service, as after a crash. */
  restart(): void {
    this.metrics = virtualEnvironment();
    this.node = this.#startNode(this.metrics.metrics);
    this.manager = this.#startManager();
  }

  /** Takes a turn as a client that stays. */
  turn(ask: Ask): Promise<TurnReply> {
    const { onPart = () => {}, gone = new AbortController().signal, principal } = ask;
    const account = principal === undefined ? undefined : this.#accountOf(principal);
    return this.manager.takeTurn(requestOf(ask), { part: ({ text, ids }) => onPart(text, ids), gone, account });
  }

  /** Evaluates the prompt of a turn, as a client that stays. */
  evaluate(ask: Ask): Promise<EvaluatedTurn> {
    const { gone = new AbortController().signal } = ask;
    return this.manager.evaluate(requestOf(ask), { part: () => {}, gone });
  }

  /** Has a prompt answered that its client keeps, as a client that stays. */
  forward(ask: Partial<ForwardRequest> & { gone?: AbortSignal }): Promise<ForwardedReply> {
    const { gone = new AbortController().signal, ...request } = ask;
    const plain = { prompt: ['hello'], maxTokens: undefined, stop: [], sampling: {}, stream: false };
    return this.manager.forward({ ...plain, ...request }, { part: () => {}, gone });
  }

  /** Turns `from` to `to` of a session, one after the other. */
  async turns(session: string, { from = 1, to, ...ask }: Ask & { from?: number; to: number }): Promise<TurnReply[]> {
    const replies: TurnReply[] = [];
    for (let turn = from; turn <= to; turn++) replies.push(await this.turn({ ...ask, session, turn }));
    return replies;
  }

  /** Everything that waits for nothing but promises and immediates has run. */
  async settled(): Promise<void> {
    for (let round = 0; round < 5; round++) await this.environment.advance(0);
  }

  /** The turn records that the store acknowledged for a session, in order. */
  records(session: string): Array<SealedRecord & { record: TurnRecord }> {
    return this.store.appended.filter(
      (sealed): sealed is SealedRecord & { record: TurnRecord } =>
        sealed.record.kind === 'turn' && sealed.record.sessionId === session,
    );
  }

  #accountOf(name: string) {
    const scopes = new Set(['service'] as const);
    return new PrincipalAccounts({}, this.environment.clock).of({ name, scopes, userId: name as UserId });
  }

  #startNode(metrics: Metrics): NodeResources {
    const { clock, random, logger } = this.environment;
    const time = nodeTimeOver(clock, { clockToleranceMs: 60_000, ...this.#options, kept: undefined, isShared: false });
    const environment = timedEnvironment({ clock, random, logger, metrics }, time);
    const embedder = this.#embedder;
    const stampOf = this.#layers && { stampOf: CLUSTER_STAMPS };
    const forgetting = this.#forgetsStates && { forgetState: forgetStateOf([this]) };
    const parts = { store: this.store, environment, time, options: this.#options, embedder };
    return new NodeResources({ ...parts, ...stampOf, ...forgetting });
  }

  #startManager(): ContextManager {
    const { llm, node } = this;
    const { defaultMode } = this.#options;
    return new ContextManager({ llm, node, template: this.#template, defaultMode, layers: this.#layers?.(node) });
  }
}

export function contextManagerRig(options: RigOptions = {}): Promise<Rig> {
  return rigOver((environment) => new ProbedStore(environment, options.storeIn?.(environment)), options);
}

/** One of several nodes: its store hears of records written elsewhere. */
export function replicaRig(options: RigOptions = {}): Promise<Rig<ProbedReplica>> {
  return rigOver((environment) => new ProbedReplica(environment), options);
}

/** The same, and it can say which of its records the others have. */
export function sharingRig(options: RigOptions = {}): Promise<Rig<ProbedSharingStore>> {
  return rigOver((environment) => new ProbedSharingStore(environment), options);
}

/** One whose peers can be asked for a session. */
export function fetchingRig(options: RigOptions = {}): Promise<Rig<ProbedFetchingStore>> {
  return rigOver((environment) => new ProbedFetchingStore(environment), options);
}

async function rigOver<Store extends ProbedStore>(
  storeIn: (environment: Environment) => Store,
  {
    options,
    scripted = {},
    environment = virtualEnvironment(),
    chatTemplate,
    forgetsStates = false,
    ...more
  }: RigOptions,
): Promise<Rig<Store>> {
  const llm = new ProbedLlm(scripted, environment);
  const description = chatTemplate === undefined ? llm.description : { ...llm.description, chatTemplate };
  const template = await compileChatTemplate(description, (text, how) => llm.tokenize(text, how));
  return new Rig({
    environment,
    llm,
    store: storeIn(environment),
    template,
    forgetsStates,
    ...more,
    options: { ...RIG_NODE_OPTIONS, ...options },
  });
}

/** Everything that `from` has and `to` lacks arrives there. */
export async function replicate(from: Rig<ProbedReplica>, to: Rig<ProbedReplica>): Promise<void> {
  const there = new Set(to.store.appended.map(({ hash }) => hash));
  for (const sealed of from.store.appended.filter(({ hash }) => !there.has(hash))) await to.store.arrive(sealed);
}

export function requestOf(ask: Ask): TurnRequest {
  const { text = 'hello', system, session, turn, user = 'ada', contextId, gone, onPart, principal, ...rest } = ask;
  return {
    userId: user as UserId,
    sessionId: session as SessionId | undefined,
    place: placeOf(turn as TurnNumber | undefined, contextId as ContextId | undefined),
    mode: undefined,
    messages: [
      ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
      { role: 'user', content: text },
    ],
    reasoning: 'as-template',
    consistency: 'strong',
    maxWaitMs: 1000,
    writeConcern: 'local',
    replicatedWaitMs: 1000,
    ttlSeconds: undefined,
    overflow: 'error',
    maxTokens: undefined,
    stop: [],
    sampling: {},
    stream: false,
    ...rest,
  };
}

function placeOf(turn: TurnNumber | undefined, contextId: ContextId | undefined): TurnPlace {
  if (turn !== undefined) return { turn, contextId };
  return contextId === undefined ? { opens: true } : { after: contextId };
}

/** The text of a turn that is shown; one without fails the test. */
export function textOf({ text }: ReadTurn): TurnText {
  if (text instanceof Error) throw text;
  return text;
}

/** The code a call fails with; a call that succeeds, or fails with anything but a DiscedgeError, fails the test. */
export async function codeOf(call: Promise<unknown>): Promise<ErrorCode> {
  return (await errorOf(call)).code;
}

export async function errorOf(call: Promise<unknown>): Promise<DiscedgeError> {
  const outcome = await call.then(
    () => 'no error',
    (error: unknown) => error,
  );
  if (outcome instanceof DiscedgeError) return outcome;
  throw outcome instanceof Error ? outcome : new Error(String(outcome));
}
