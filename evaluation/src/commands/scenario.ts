import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  addSettingOptions,
  approximateBytes,
  EXIT_FAILURE,
  EXIT_USAGE,
  paragraph,
  printable,
  settingFlags,
  stopRequested,
  styled,
  table,
} from 'discedge/cli';
import type { PlayedScenario, ScenarioRequest } from '../scenario/play-scenario.ts';
import type { TurnRow } from '../scenario/run-row.ts';
import type { TurnSummary } from '../scenario/run-summary.ts';
import { REPEATS_MAX, USERS_MAX } from '../scenario/scenario.ts';

interface RunFlags extends Readonly<Record<string, unknown>> {
  readonly mode?: Mode;
  readonly node?: readonly string[];
  readonly output: string;
  readonly users?: number;
  readonly repeats?: number;
  readonly anyModel?: true;
  readonly config?: string;
}

type Mode = 'raw' | 'tokenized' | 'client-side';
const MODES = ['raw', 'tokenized', 'client-side'] as const;
const MODE_HINTS: Readonly<Record<Mode, string>> = {
  raw: 'the nodes keep the messages and tokenize all of them each turn',
  tokenized: 'the nodes keep the exact token ids',
  'client-side': 'the client keeps the history and sends all of it each turn',
};

/** Settings of the nodes that a scenario starts for itself, where no node is given. */
const NODE_SETTINGS = [
  ...([
    'model',
    'modelName',
    'llm',
    'llmApiKey',
    'contextTokens',
    'parallel',
    'threads',
    'prefillChunkTokens',
  ] as const),
  ...(['gpu', 'flashAttention', 'modelCacheDir', 'natsProgram', 'logLevel'] as const),
] as const;

/** Keeps the process going while a user of the scenario thinks: timers of the environment do not. */
const ALIVE_EVERY_MS = 60_000;

export function define(command: Command): void {
  const run = command
    .command('run')
    .description('Play a scenario, at running edge nodes or at nodes started for it.')
    .argument('<file>', 'the scenario, as scenarios/README.md describes it')
    .addOption(new Option('-m, --mode <MODE>', 'context mode; asked for on a terminal').choices(MODES))
    .option('-n, --node <URL...>', "running edge nodes, in the order of the scenario's")
    .option('-o, --output <DIR>', 'folder for the rows, as CSV and NDJSON', 'discedge-results')
    .option('--users <USERS>', "in place of the scenario's users", wholeUpTo(USERS_MAX))
    .option('--repeats <REPEATS>', "in place of the scenario's repeats", wholeUpTo(REPEATS_MAX))
    .option('--any-model', 'play it at nodes with another model than the scenario names');
  addSettingOptions(run, NODE_SETTINGS)
    .addHelpText(
      'after',
      paragraph(
        'Without --node and without URLs in the file, as many nodes as the scenario names are started on this machine, ' +
          'with the settings above and data that is gone afterwards; several share their sessions through nats-server. ' +
          'Ctrl-C keeps the rows there are and marks them incomplete.',
      ),
    )
    .action(runScenario);
}

async function runScenario(file: string, options: RunFlags): Promise<void> {
  const { readScenario } = await import('../scenario/scenario-file.ts');
  const read = await readScenario(file);
  const scenario = { ...read, users: options.users ?? read.users, repeats: options.repeats ?? read.repeats };
  const mode = options.mode ?? (await askMode());
  if (mode === undefined) {
    process.exitCode = EXIT_USAGE;
    return;
  }
  const { playScenario } = await import('../scenario/play-scenario.ts');
  const stop = stopRequested();
  const progress = process.stderr.isTTY === true;
  const request: ScenarioRequest = {
    scenario,
    mode,
    urls: options.node,
    anyModel: options.anyModel === true,
    settings: { flags: { logLevel: 'error', ...withoutUndefined(settingFlags(options)) }, file: options.config },
    folder: options.output,
    signal: stop.signal,
    ...(progress
      ? { onNotice: (text) => tell(styled('dim', text, process.stderr)), onTurn: (row) => tell(turnLine(row)) }
      : {}),
  };
  const alive = setInterval(() => {}, ALIVE_EVERY_MS);
  try {
    const played = await playScenario(request);
    process.stdout.write(describeRun(played));
    if (!played.end.complete) process.exitCode = EXIT_FAILURE;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.exitCode = EXIT_FAILURE;
  } finally {
    clearInterval(alive);
  }
}

/** On a terminal only, as the prototype did; `undefined` when nobody chose. */
async function askMode(): Promise<Mode | undefined> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    process.stderr.write(`discedge: say which context mode to play it in: --mode ${MODES.join('|')}\n`);
    return undefined;
  }
  const { isCancel, select } = await import('@clack/prompts');
  const options = MODES.map((value) => ({ value, label: value, hint: MODE_HINTS[value] }));
  const answer = await select<Mode>({ message: 'Context mode', options, initialValue: 'tokenized' });
  return isCancel(answer) ? undefined : answer;
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function turnLine(row: TurnRow): string {
  const who = `${row.repeat > 1 ? `repeat ${row.repeat} · ` : ''}${row.user > 1 ? `user ${row.user} · ` : ''}`;
  const where = `${row.moved ? '→ ' : ''}${printable(row.node)}`;
  const head = `${who}turn ${row.turn} · ${where}`;
  if (row.error !== '') return `${head} · ${styled('red', `failed: ${row.error}`, process.stderr)}`;
  const first = row.first_token_ms === null ? '' : `first ${duration(row.first_token_ms)}, `;
  return [
    head,
    `${first}all ${duration(row.response_ms)}`,
    `${row.cached_tokens} cached, ${row.evaluated_tokens} evaluated, ${row.reply_tokens} new`,
    `${approximateBytes(row.request_bytes)} up, ${approximateBytes(row.reply_bytes)} down`,
  ].join(' · ');
}

const HEADER = ['TURN', 'NODE', 'RESPONSE', 'FIRST TOKEN', 'TOK/S', 'CACHED', 'EVALUATED', 'NEW', 'REQUEST', 'REPLY'];
const NODE_COLUMN = HEADER.indexOf('NODE');

function describeRun({ start, summaries, end, paths }: PlayedScenario): string {
  const { scenario, mode, model, machine, users, repeats } = start;
  const many = users * repeats > 1;
  const what = many ? `, ${users} users, ${repeats} repeats: medians` : '';
  const outcome = end.complete
    ? `complete: ${end.turns_answered} turns`
    : `incomplete (${end.reason.replace('_', ' ')}): ${end.turns_answered} of ${start.turns_planned} turns answered, ${end.turns_failed} failed`;
  return [
    `${styled('bold', printable(scenario))}, ${mode}, model ${printable(model)}${what}`,
    styled('dim', machine),
    '',
    ...(summaries.length === 0 ? [] : [summaryTable(summaries), '']),
    styled(end.complete ? 'green' : 'yellow', outcome),
    ...paths.map((path) => `  ${path}`),
    '',
  ].join('\n');
}

/** Numbers with their units stand to the right, under headings that do. */
function summaryTable(summaries: readonly TurnSummary[]): string {
  const cells = [HEADER, ...summaries.map(summaryCells)];
  const widths = HEADER.map((_, column) => Math.max(...cells.map((row) => (row[column] as string).length)));
  const [header = [], ...rows] = cells.map((row) =>
    row.map((cell, column) => (column === NODE_COLUMN ? cell : cell.padStart(widths[column] as number))),
  );
  return table(header, rows);
}

function summaryCells(summary: TurnSummary): string[] {
  const { turn, nodes, responseMs, firstTokenMs, tokensPerSecond, cachedTokens, evaluatedTokens } = summary;
  return [
    String(turn ?? 'all'),
    turn === undefined && nodes.length > 1 ? '' : printable(nodes.join(', ')),
    right(responseMs, duration),
    right(firstTokenMs, duration),
    right(tokensPerSecond, (value) => value.toFixed(1)),
    right(cachedTokens, String),
    right(evaluatedTokens, String),
    right(summary.replyTokens, String),
    right(summary.requestBytes, (value) => `${Math.round(value)} B`),
    right(summary.replyBytes, (value) => `${Math.round(value)} B`),
  ];
}

function right(value: number | undefined, text: (value: number) => string): string {
  return value === undefined ? '-' : text(value);
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

function withoutUndefined<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

function wholeUpTo(max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > max) {
      throw new InvalidArgumentError(`It must be a whole number from 1 to ${max}.`);
    }
    return value;
  };
}
