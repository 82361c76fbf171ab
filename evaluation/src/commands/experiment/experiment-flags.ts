import { type Command, InvalidArgumentError, Option } from 'commander';
import { addSettingOptions, paragraph } from 'discedge/cli';
import type { ExperimentChoices } from '../../experiments/plays/play.ts';
import type { ExperimentName, LinkFacts } from '../../experiments/rows/experiment-rows.ts';

export type LlmServiceChoice = ExperimentChoices['llmServices'][number];

/** What is given to `discedge experiment`. */
export interface ExperimentFlags extends Readonly<Record<string, unknown>> {
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

/** Replies of the paper's experiments; where throughput is asked for, and not what replies say, fewer do. */
const REPLY_TOKENS: Readonly<Record<ExperimentName, number>> = { paper: 128, growth: 128, load: 32 };
const USERS = [1, 2, 4, 8, 16, 32, 64];
/** What a smoke test of a minute has room for. */
const QUICK = { tokens: 8, turns: 5, repeats: 1, users: [1, 2, 4] } as const;

/** Gives an experiment's command its options. */
export function addExperimentOptions(command: Command, name: ExperimentName): Command {
  command
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
    .option('--tokens <TOKENS>', `tokens a reply (default: ${REPLY_TOKENS[name]})`, within(1, 4_096));
  if (name !== 'load') command.option('--nodes <NODES>', 'edge nodes where there are several', within(2, 16), 2);
  if (name === 'growth') command.option('--turns <TURNS>', 'turns of the conversation', within(2, 1_000), 50);
  if (name === 'load') {
    command
      .option('--users <LIST>', `users at once (default: ${USERS.join()})`, levels)
      .option('--slots <SLOTS>', 'turns that an LLM Service works on at once', within(1, 64), 4);
  }
  command
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
      command.addOption(new Option(`--${end}-${flag}`, help).argParser(number(least, most)).helpGroup('Network:'));
    option('delay-ms <MS>', `delay ${what}, one way`, 0, 10_000);
    option('mbit <MBIT>', `bandwidth ${what}, each way, in Mbit/s`, 0.001, 100_000);
    option('loss <SHARE>', `share of packets lost ${what}, 0 to 1`, 0, 1);
  }
  addSettingOptions(command, NODE_SETTINGS).addHelpText(
    'after',
    paragraph(
      'Nodes, nats-servers and llama-servers are started for it and gone afterwards. How long it will take is printed ' +
        'first. Ctrl-C keeps the rows there are and marks them incomplete. docs/experiments.md says what is measured.',
    ),
  );
  return command;
}

/** What is played, as the flags say it. */
export function choicesOf(
  experiment: ExperimentName,
  flags: ExperimentFlags,
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
export function linkOf(flags: ExperimentFlags, end: 'client' | 'node'): LinkFacts | undefined {
  const [delay, rate, loss] = [flags[`${end}DelayMs`], flags[`${end}Mbit`], flags[`${end}Loss`]] as (
    | number
    | undefined
  )[];
  if (delay === undefined && rate === undefined && loss === undefined) return undefined;
  return { delay_ms: delay ?? 0, loss: loss ?? 0, mbit_per_s: rate ?? null };
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
