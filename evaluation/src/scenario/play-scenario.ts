import { NodeRing } from 'discedge/internal/client/nodes/node-ring';
import type { ConfigSources } from 'discedge/internal/config/config';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import type { ContextMode } from 'discedge/internal/domain/record/turn-record';
import { VERSION } from 'discedge/internal/edge-node/version';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { isRoaming } from '../conversation/turn-plan.ts';
import { checkNodes, getToKnowAll, type KnownNode } from '../nodes/known-node.ts';
import { commit, machine } from '../nodes/machine.ts';
import { type OwnNodes, startOwnNodes } from '../nodes/own-nodes.ts';
import { RunRecorder, runName } from './run-recorder.ts';
import { ROW_FORMAT, type RunEnd, type RunFacts, type RunStart, type TurnRow } from './run-row.ts';
import { runScenario } from './run-scenario.ts';
import { summarizeTurns, type TurnSummary } from './run-summary.ts';
import type { Scenario } from './scenario.ts';

export interface ScenarioRequest {
  readonly scenario: Scenario;
  readonly mode: ContextMode;
  /** Running nodes in the order of the scenario's; `undefined`: those it names, or else nodes started for it. */
  readonly urls: readonly string[] | undefined;
  /** Whether nodes with another model than the scenario names will do. */
  readonly anyModel: boolean;
  /** For nodes that are started. */
  readonly settings: ConfigSources;
  /** Where the rows go. */
  readonly folder: string;
  readonly labels?: RunFacts['labels'];
  readonly signal?: AbortSignal | undefined;
  /** Told what is going on before the first turn. */
  readonly onNotice?: ((text: string) => void) | undefined;
  readonly onTurn?: ((row: TurnRow) => void) | undefined;
}

export interface PlayedScenario {
  readonly run: string;
  readonly start: RunStart;
  readonly end: RunEnd;
  readonly summaries: readonly TurnSummary[];
  /** Of the files with the rows. */
  readonly paths: readonly string[];
}

/**
 * Plays a scenario from beginning to end: finds or starts its nodes, checks that they fit, plays and records it, and
 * stops what it started. Throws `scenario_nodes_unfit`, `node_unreachable`, `results_unusable`, and what a node's start
 * throws; from the first turn on, what goes wrong with a turn is in its row.
 */
export async function playScenario(request: ScenarioRequest): Promise<PlayedScenario> {
  const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'scenario' });
  const { scenario, mode } = request;
  const own = await ownNodes(request, clock);
  try {
    const urls = own?.nodes.map(({ url }) => url) ?? givenUrls(request);
    const nodes = await getToKnowAll(
      urls.map((url) => new NodeRing([url]).current),
      clock,
      request.signal,
    );
    const modelName = request.anyModel ? undefined : scenario.modelName;
    checkNodes(nodes, { mode, modelName, roaming: isRoaming(scenario) });
    return await record(request, nodes, clock);
  } finally {
    await own?.close();
  }
}

type Clock = ReturnType<typeof nodeEnvironment>['clock'];

async function record(request: ScenarioRequest, nodes: readonly KnownNode[], clock: Clock): Promise<PlayedScenario> {
  const { scenario, mode, folder, onTurn, signal } = request;
  const run = runName([scenario.name, mode], clock.now());
  const facts = factsOf(request, run, nodes);
  const recorder = new RunRecorder(folder, run);
  let start: RunStart | undefined;
  try {
    const sink = {
      append(row: RunStart | TurnRow | RunEnd) {
        if (row.kind === 'run_start') start = row;
        recorder.append(row);
      },
    };
    const { turns, end } = await runScenario({ scenario, mode, nodes, facts, sink, clock, onTurn, signal });
    return { run, start: start as RunStart, end, summaries: summarizeTurns(turns), paths: recorder.paths };
  } finally {
    recorder.close();
  }
}

function factsOf({ scenario, mode, labels }: ScenarioRequest, run: string, nodes: readonly KnownNode[]): RunFacts {
  return {
    format: ROW_FORMAT,
    run,
    scenario: scenario.name,
    mode,
    version: VERSION,
    commit: commit(),
    machine: machine(),
    model: [...new Set(nodes.map(({ model }) => model))].join(' / '),
    seed: scenario.seed,
    temperature: scenario.temperature,
    max_tokens: scenario.maxTokens,
    consistency: scenario.consistency ?? 'default',
    max_wait_ms: scenario.maxWaitMs ?? 'default',
    stream: scenario.stream,
    ...(labels === undefined ? {} : { labels }),
  };
}

/** The nodes given on the command line, else those the file names; `undefined` where there are neither. */
function namedUrls({ scenario, urls }: ScenarioRequest): readonly string[] | undefined {
  if (urls !== undefined) return urls;
  const named = scenario.nodes.flatMap(({ url }) => (url === undefined ? [] : [url]));
  return named.length === 0 ? undefined : named;
}

/** One URL for each node of the scenario. */
function givenUrls(request: ScenarioRequest): readonly string[] {
  const urls = namedUrls(request) ?? [];
  const names = request.scenario.nodes.map(({ name }) => name);
  if (urls.length === names.length) return urls;
  const message = `the scenario plays at ${names.length} nodes (${names.join(', ')}), ${urls.length} given`;
  throw new DiscedgeError(
    'scenario_nodes_unfit',
    `${message}: name each with --node URL, or none to have them started`,
  );
}

async function ownNodes(request: ScenarioRequest, clock: Clock): Promise<OwnNodes | undefined> {
  if (namedUrls(request) !== undefined) return undefined;
  const { scenario, mode, settings, signal, onNotice } = request;
  const names = scenario.nodes.map(({ name }) => name);
  const replicating = mode !== 'client-side' && isRoaming(scenario);
  onNotice?.(`starting ${names.length === 1 ? 'an edge node' : `${names.length} edge nodes`}`);
  const own = await startOwnNodes({ names, replicating, settings: withModel(settings, scenario), clock, signal });
  for (const [index, { url, peerPort }] of own.nodes.entries()) {
    onNotice?.(`  ${names[index]} at ${url}${peerPort === undefined ? '' : `, for its peers at port ${peerPort}`}`);
  }
  return own;
}

/** A scenario that names a model which can be started by that name needs no `--model`. */
function withModel(settings: ConfigSources, { modelName }: Scenario): ConfigSources {
  const { flags = {} } = settings;
  const named = modelName !== undefined && /\.gguf$|^hf:/i.test(modelName);
  return named && flags.model === undefined && flags.llm === undefined
    ? { ...settings, flags: { ...flags, model: modelName } }
    : settings;
}
