import type { Command } from 'commander';
import { EXIT_FAILURE, EXIT_USAGE, settingFlags, stopRequested, styled } from 'discedge/cli';
import type { ExperimentModel } from '../experiments/experiment-model.ts';
import type { ExperimentName } from '../experiments/rows/experiment-rows.ts';
import type { ExperimentRequest } from '../experiments/run-experiment.ts';
import {
  addExperimentOptions,
  choicesOf,
  type ExperimentFlags,
  type LlmServiceChoice,
  linkOf,
} from './experiment/experiment-flags.ts';
import { describeOutcome } from './experiment/outcome-text.ts';

const DESCRIPTIONS: Readonly<Record<ExperimentName, string>> = {
  paper: "The paper's two experiments, and where their effects are larger or smaller: tokens against text, roaming.",
  growth: 'A conversation of many turns: what each turn costs to answer and to share, deltas against whole contexts.',
  load: 'More and more users at once, against a bare llama-server with client-side history.',
};

/** Keeps the process going while an experiment waits: timers of the environment do not. */
const ALIVE_EVERY_MS = 60_000;

export function define(command: Command): void {
  for (const [name, description] of Object.entries(DESCRIPTIONS)) {
    const sub = addExperimentOptions(command.command(name).description(description), name as ExperimentName);
    sub.action((flags: ExperimentFlags) => run(name as ExperimentName, flags));
  }
}

async function run(experiment: ExperimentName, flags: ExperimentFlags): Promise<void> {
  const { stopFromOutside } = await import('../network/namespace-run.ts');
  const { signal, leave } = flags.inside === true ? stopFromOutside() : { ...stopRequested(), leave() {} };
  const alive = setInterval(() => {}, ALIVE_EVERY_MS);
  try {
    await runHereOrInside(experiment, flags, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    process.exitCode = EXIT_FAILURE;
  } finally {
    clearInterval(alive);
    leave();
  }
}

async function runHereOrInside(experiment: ExperimentName, flags: ExperimentFlags, signal: AbortSignal): Promise<void> {
  const { experimentModel } = await import('../experiments/experiment-model.ts');
  const { chooseNetwork } = await import('../experiments/choose-network.ts');
  const settings = { flags: { logLevel: 'error', ...withoutUndefined(settingFlags(flags)) }, file: flags.config };
  const model = await experimentModel(settings, signal);
  const links = { client: linkOf(flags, 'client'), node: linkOf(flags, 'node') };
  const { network, whyNot } = chooseNetwork(flags.network, links);
  if (whyNot !== undefined) tell(`no network namespaces (${whyNot}): bytes between nodes are those of the payload`);
  if (network.kind === 'namespaces' && flags.inside !== true) {
    process.exitCode = await runInside(model, signal);
    return;
  }
  const given = { ...settings, flags: { ...settings.flags, model: model.path } };
  const choices = choicesOf(experiment, flags, { network, llmServices: await llmServicesOf(experiment, flags) });
  const { llamaServer, output: folder } = flags;
  await play({ experiment, choices, model, settings: given, llamaServer, folder, signal, onNotice: tell });
}

/** The same once more, where it may make networks. What has been fetched is not fetched again: there is no way out. */
async function runInside(model: ExperimentModel, signal: AbortSignal): Promise<number> {
  const { runInNamespaces } = await import('../network/namespace-run.ts');
  return runInNamespaces([...process.argv.slice(2), '--inside', '--model', model.path], signal);
}

async function play(request: ExperimentRequest): Promise<void> {
  const { partsOf } = await import('../experiments/parts/experiment-parts.ts');
  const { runExperiment } = await import('../experiments/run-experiment.ts');
  const { experiment, choices, model } = request;
  const known = partsOf(experiment, { ...choices, parts: undefined }, model).map(({ part }) => part);
  const unknown = choices.parts?.filter((name) => !known.includes(name)) ?? [];
  if (unknown.length > 0) {
    process.stderr.write(
      `discedge: ${experiment} has no part ${unknown.join(', ')} here; it has ${known.join(', ')}\n`,
    );
    if (choices.network.kind === 'loopback') tell('parts with a slow link need network namespaces');
    process.exitCode = EXIT_USAGE;
    return;
  }
  const outcome = await runExperiment(request);
  const { summarizeExperiment } = await import('../experiments/rows/experiment-summary.ts');
  process.stdout.write(describeOutcome(outcome, summarizeExperiment(outcome.rows)));
  if (!outcome.end.complete) process.exitCode = EXIT_FAILURE;
}

/** Where throughput is compared with a bare llama-server, one is looked for. */
async function llmServicesOf(
  experiment: ExperimentName,
  { llmService, llamaServer }: ExperimentFlags,
): Promise<readonly LlmServiceChoice[]> {
  if (llmService !== undefined) return [...new Set(llmService)];
  if (experiment !== 'load') return ['embedded'];
  const { llamaServerVersion } = await import('../experiments/site/own-llama-server.ts');
  const reason = await llamaServerVersion(llamaServer).then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (reason === undefined) return ['llama-server'];
  tell(`without a bare llama-server to compare with: ${reason}`);
  return ['embedded'];
}

function tell(text: string): void {
  process.stderr.write(`${styled('dim', text, process.stderr)}\n`);
}

function withoutUndefined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}
