import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import type { OpenAiApi } from '../../conversation/openai-conversation.ts';
import type { RunFacts } from '../../scenario/run-row.ts';
import { SCENARIO_DEFAULTS, type Scenario, type ScenarioTurn } from '../../scenario/scenario.ts';
import type { ExperimentRow, NetworkFacts, PartFacts, PlayLabels, ReplySource } from '../rows/experiment-rows.ts';
import type { LlmServiceName, SiteContext, SiteSpec } from '../site/site.ts';

/** What is asked of an experiment; each takes of it what concerns it. */
export interface ExperimentChoices {
  /** Everything small: a smoke test of a minute. */
  readonly quick: boolean;
  readonly repeats: number;
  readonly seed: number;
  readonly llmServices: readonly Exclude<LlmServiceName, 'transcript'>[];
  readonly nodes: number;
  /** Turns a session in `growth`. */
  readonly turns: number;
  /** Ids a reply. */
  readonly maxTokens: number;
  /** Levels of `load`. */
  readonly users: readonly number[];
  readonly slots: number;
  /** Names of parts; `undefined`: all. */
  readonly parts: readonly string[] | undefined;
  readonly network: NetworkFacts;
}

/** A part of an experiment with what is played in each repeat of it. */
export interface Part extends PartFacts {
  readonly plays: readonly PlaySpec[];
}

/** One conversation, or one level of users, in a site of its own. */
export interface PlaySpec {
  readonly part: string;
  readonly variant: string;
  readonly setting: string;
  readonly replySource: ReplySource;
  readonly site: SiteSpec;
  readonly script: ConversationScript | LoadScript | ReplicationScript;
}

/** The network of each setting, for the facts of a part. */
export function networksOf(plays: readonly PlaySpec[]): PartFacts['networks'] {
  return Object.fromEntries(plays.map(({ setting, site }) => [setting, site.network]));
}

/** What happens to the node between turns: somebody else's prompt takes its slot, or it stops and starts again. */
export type AfterTurn = 'nothing' | 'slot-taken' | 'node-restarted';

export interface ConversationScript {
  readonly kind: 'conversation';
  readonly scenario: Scenario;
  readonly mode: ContextMode;
  /** By which of OpenAI's APIs; `undefined`: by the nodes' own. */
  readonly api?: OpenAiApi | undefined;
  /** Whether what goes between the nodes is counted after every turn. */
  readonly countsSync: boolean;
  readonly afterTurn: AfterTurn;
}

export interface LoadScript {
  readonly kind: 'load';
  readonly scenario: Scenario;
  readonly mode: ContextMode;
}

/** Records written past the Context Manager, as no edge node writes them: for comparison with what it does. */
export interface ReplicationScript {
  readonly kind: 'replication';
  readonly form: 'delta' | 'whole-context' | 'whole-context-json';
  readonly turns: number;
}

export interface PlayContext {
  readonly site: SiteContext;
  readonly labels: PlayLabels;
  /** Of every turn's row. */
  readonly facts: RunFacts;
  readonly append: (row: ExperimentRow) => void;
}

export interface PlayResult {
  readonly turnsAnswered: number;
  readonly turnsFailed: number;
  /** Turns a second; of `load` alone. */
  readonly turnsPerS?: number;
}

/** Ids of the service's own words, for a warm-up that no play's prompt begins with. */
const WARM_UP = 'Before we begin: count from one to five.';
const WARM_UP_TOKENS = 8;

export function scenarioOf(
  name: string,
  {
    turns,
    nodes,
    users = 1,
    maxTokens,
    seed,
    thinkMs = 0,
  }: {
    readonly turns: readonly ScenarioTurn[];
    readonly nodes: readonly string[];
    readonly users?: number;
    readonly maxTokens: number;
    readonly seed: number;
    /** Pause before each turn but the first. */
    readonly thinkMs?: number;
  },
): Scenario {
  return {
    ...SCENARIO_DEFAULTS,
    name,
    modelName: undefined,
    userId: 'experiment',
    system: undefined,
    nodes: nodes.map((node) => ({ name: node, url: undefined })),
    route: 'stay',
    turns,
    users,
    numbered: users > 1,
    seed,
    thinkMs: [thinkMs, thinkMs],
    maxTokens,
    consistency: undefined,
    maxWaitMs: undefined,
  };
}

/** One turn at each of the nodes, as many users as can be served at once. */
export function warmUpScenario(nodes: readonly string[], users: number, seed: number): Scenario {
  const turns = nodes.map((_, node) => ({ message: users > 1 ? `${WARM_UP} {user}` : WARM_UP, node }));
  return { ...scenarioOf('warm-up', { turns, nodes, users, maxTokens: WARM_UP_TOKENS, seed }), stream: true };
}
