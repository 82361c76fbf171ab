import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  addSettingOptions,
  approximateBytes,
  EXIT_FAILURE,
  EXIT_USAGE,
  paragraph,
  settingFlags,
  stopRequested,
  styled,
  table,
} from 'discedge/cli';
import type { ExperimentModel } from '../experiments/experiment-model.ts';
import type { ExperimentName, LinkFacts } from '../experiments/experiment-rows.ts';
import type { VariantSummary } from '../experiments/experiment-summary.ts';
import type { ExperimentChoices } from '../experiments/play.ts';
import type { ExperimentOutcome, ExperimentRequest } from '../experiments/run-experiment.ts';

type LlmServiceChoice = ExperimentChoices['llmServices'][number];

interface Flags extends Readonly<Record<string, unknown>> {
  readonly llmService?: readonly LlmServiceChoice[];
  readonly llamaServer: string;
  readonly output: string;
  readonly part?: readonly string[];
  readonly repeats: number;
  readonly seed: number;
  readonly tokens?: number;
  readonly nodes?: number;
  readonly turns?: number;
  readonly users?: readonly number[];
  readonly slots: number;
  readonly network: 'auto' | 'namespaces' | 'loopback';
  readonly quick?: true;
  readonly config?: string;
  /** In a process that was started in namespaces of its own, for this. */
  readonly inside?: true;
}

/** Settings of the nodes that experiments start. */
const NODE_SETTINGS = [
  ...(['model', 'modelName', 'threads', 'prefillChunkTokens', 'gpu', 'flashAttention'] as const),
  ...(['modelCacheDir', 'natsProgram', 'logLevel'] as const),
] as const;

const DESCRIPTIONS: Readonly<Record<ExperimentName, string>> = {
  paper: "The paper's two experiments, and where their effects are larger or smaller: tokens against text, roaming.",
  growth: 'A conversation of many turns: what each turn costs to answer and to share, deltas against whole contexts.',
  load: 'More and more users at once, against a bare llama-server with client-side history.',
};

/** Replies of the paper's experiments; where throughput is asked for, and not what replies say, fewer do. */
const REPLY_TOKENS: Readonly<Record<ExperimentName, number>> = { paper: 128, growth: 128, load: 32 };
const USERS = [1, 2, 4, 8, 16, 32, 64];
/** What a smoke test of a minute has room for. */
const QUICK = { tokens: 8, turns: 5, repeats: 1, users: [1, 2, 4] } as const;

/** Keeps the process going while an experiment waits: timers of the environment do not. */
const ALIVE_EVERY_MS = 60_000;

export function define(command: Command): void {
  for (const [name, description] of Object.entries(DESCRIPTIONS)) {
    const sub = command.command(name).description(description);
    sub
      .addOption(
        new Option(
          '--llm-service <NAMES...>',
          `which run the model (default: ${name === 'load' ? 'llama-server where there is one, else embedded' : 'embedded'})`,
        ).choices(['embedded', 'llama-server']),
      )
      .option('--llama-server <PROGRAM>', 'llama-server to start: a name on the PATH, or a path', 'llama-server')
      .option('-o, --output <DIR>', 'folder for the rows, as NDJSON', 'discedge-results')
      .option('--part <NAMES...>', 'only these parts of it')
      .option('--repeats <REPEATS>', 'how often everything is played', within(1, 1_000), 3)
      .option('--seed <SEED>', 'for sampling, and for the order in which is played', within(0, 0x7fff_ffff), 123)
      .option(
        '--tokens <TOKENS>',
        `tokens a reply (default: ${REPLY_TOKENS[name as ExperimentName]})`,
        within(1, 4_096),
      );
    if (name !== 'load') sub.option('--nodes <NODES>', 'edge nodes where there are several', within(2, 16), 2);
    if (name === 'growth') sub.option('--turns <TURNS>', 'turns of the conversation', within(2, 1_000), 50);
    if (name === 'load') {
      sub
        .option('--users <LIST>', `users at once (default: ${USERS.join()})`, levels)
        .option('--slots <SLOTS>', 'turns that an LLM Service works on at once', within(1, 64), 4);
    }
    sub
      .addOption(
        new Option('--network <KIND>', 'namespaces: each node and the client in a network of its own')
          .choices(['auto', 'namespaces', 'loopback'])
          .default('auto')
          .helpGroup('Network:'),
      )
      .option('--quick', 'a smoke test of a minute: everything small, once')
      .addOption(new Option('--inside').hideHelp());
    for (const [end, what] of [
      ['client', 'between the client and each node'],
      ['node', 'between any two nodes'],
    ]) {
      const option = (flag: string, help: string, least: number, most: number) =>
        sub.addOption(new Option(`--${end}-${flag}`, help).argParser(number(least, most)).helpGroup('Network:'));
      option('delay-ms <MS>', `delay ${what}, one way`, 0, 10_000);
      option('mbit <MBIT>', `bandwidth ${what}, each way, in Mbit/s`, 0.001, 100_000);
      option('loss <SHARE>', `share of packets lost ${what}, 0 to 1`, 0, 1);
    }
    addSettingOptions(sub, NODE_SETTINGS).addHelpText(
      'after',
      paragraph(
        'Nodes, nats-servers and llama-servers are started for it and gone afterwards. How long it will take is printed ' +
          'first. Ctrl-C keeps the rows there are and marks them incomplete. docs/experiments.md says what is measured.',
      ),
    );
    sub.action((flags: Flags) => run(name as ExperimentName, flags));
  }
}

async function run(experiment: ExperimentName, flags: Flags): Promise<void> {
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

async function runHereOrInside(experiment: ExperimentName, flags: Flags, signal: AbortSignal): Promise<void> {
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
  const { partsOf } = await import('../experiments/experiment-parts.ts');
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
  const { summarizeExperiment } = await import('../experiments/experiment-summary.ts');
  process.stdout.write(describeOutcome(outcome, summarizeExperiment(outcome.rows)));
  if (!outcome.end.complete) process.exitCode = EXIT_FAILURE;
}

/** Where throughput is compared with a bare llama-server, one is looked for. */
async function llmServicesOf(
  experiment: ExperimentName,
  { llmService, llamaServer }: Flags,
): Promise<readonly LlmServiceChoice[]> {
  if (llmService !== undefined) return [...new Set(llmService)];
  if (experiment !== 'load') return ['embedded'];
  const { llamaServerVersion } = await import('../experiments/own-llama-server.ts');
  const reason = await llamaServerVersion(llamaServer).then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (reason === undefined) return ['llama-server'];
  tell(`without a bare llama-server to compare with: ${reason}`);
  return ['embedded'];
}

function choicesOf(
  experiment: ExperimentName,
  flags: Flags,
  given: Pick<ExperimentChoices, 'network' | 'llmServices'>,
): ExperimentChoices {
  const quick = flags.quick === true;
  return {
    quick,
    repeats: quick ? QUICK.repeats : flags.repeats,
    seed: flags.seed,
    nodes: flags.nodes ?? 1,
    turns: quick ? QUICK.turns : (flags.turns ?? 0),
    maxTokens: flags.tokens ?? (quick ? QUICK.tokens : REPLY_TOKENS[experiment]),
    users: flags.users ?? (quick ? QUICK.users : USERS),
    slots: flags.slots ?? 1,
    parts: flags.part,
    ...given,
  };
}

/** `undefined` where nothing was said about it. */
function linkOf(flags: Flags, end: 'client' | 'node'): LinkFacts | undefined {
  const [delay, rate, loss] = [flags[`${end}DelayMs`], flags[`${end}Mbit`], flags[`${end}Loss`]] as (
    | number
    | undefined
  )[];
  if (delay === undefined && rate === undefined && loss === undefined) return undefined;
  return { delay_ms: delay ?? 0, loss: loss ?? 0, mbit_per_s: rate ?? null };
}

const HEADER = [
  'PART',
  'LLM SERVICE',
  'SETTING',
  'VARIANT',
  'TURNS',
  'RESPONSE',
  'FIRST TOKEN',
  'TOK/S',
  'REQUEST',
  'SYNC',
];

function describeOutcome({ start, end, rows, path }: ExperimentOutcome, summaries: readonly VariantSummary[]): string {
  const checks = rows.filter((row) => row.kind === 'check');
  const disagree = checks.filter(({ agrees }) => !agrees);
  const outcome = end.complete
    ? `complete: ${end.plays_done} plays`
    : `incomplete (${end.reason.replace('_', ' ')}): ${end.plays_done} of ${end.plays_planned} plays`;
  return [
    `${styled('bold', start.experiment)}, model ${start.model.name} ${start.model.quantization}${start.quick ? ', quick: these numbers show nothing' : ''}`,
    styled('dim', start.machine),
    '',
    ...(summaries.length === 0 ? [] : [table(HEADER, summaries.map(cells)), '']),
    ...(checks.length === 0
      ? []
      : [
          `token counts agree between the variants in ${checks.length - disagree.length} of ${checks.length} comparisons`,
        ]),
    styled(end.complete ? 'green' : 'yellow', outcome),
    `  ${path}`,
    '',
  ].join('\n');
}

function cells(summary: VariantSummary): (string | number)[] {
  const { part, llmService, setting, variant, turns, failed, turnsPerSecond, tokensPerSecond, syncBytes } = summary;
  return [
    ...[part, llmService, setting, variant],
    failed === 0 ? String(turns) : `${turns} (${failed} failed)`,
    shown(summary.responseMs, duration),
    shown(summary.firstTokenMs, duration),
    turnsPerSecond === undefined ? shown(tokensPerSecond, (value) => value.toFixed(1)) : `${turnsPerSecond} turns/s`,
    shown(summary.requestBytes, approximateBytes),
    shown(syncBytes, (bytes) => `${Math.round(bytes)} B${summary.syncIsWire ? '' : ' payload'}`),
  ];
}

function shown(value: number | undefined, text: (value: number) => string): string {
  return value === undefined ? '-' : text(value);
}

function duration(ms: number): string {
  return ms < 1_000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}

function tell(text: string): void {
  process.stderr.write(`${styled('dim', text, process.stderr)}\n`);
}

function withoutUndefined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

function levels(text: string): number[] {
  return [...new Set(text.split(',').map(within(1, 1_024)))].sort((a, b) => a - b);
}

function within(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
  };
}
