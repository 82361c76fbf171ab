import { closeSync, openSync, readSync } from 'node:fs';
import { DiscedgeError } from 'discedge/internal/domain/errors';
import type {
  CheckRow,
  ExperimentTurn,
  LoadRow,
  NetworkFacts,
  NoteRow,
  PartFacts,
  SyncRow,
} from '../../experiments/rows/experiment-rows.ts';
import { type RecordedExperiment, readExperiment } from '../../experiments/rows/read-experiment.ts';
import { type RecordedRun, readRun } from '../../scenario/read-run.ts';
import { partFacts } from './part-facts.ts';

/** Why a run is not what it was planned to be; as a reader is told. */
type Flaw = string;

export interface SourcePart {
  readonly part: string;
  /** One sentence; empty where nobody wrote one. */
  readonly about: string;
  /** Of each setting; empty where nothing is known of it. */
  readonly networks: Readonly<Record<string, NetworkFacts>>;
  /** Whether it plays what the paper played, so that their numbers may stand side by side. */
  readonly isPapers: boolean;
  /** In the order in which they are shown. */
  readonly settings: readonly string[];
}

/** The rows of one file, experiment or scenario, in one form. */
export interface ReportSource {
  readonly run: string;
  /** Rows with equal ones may be pooled: they come from one machine, model and commit. */
  readonly origin: string;
  readonly title: string;
  readonly model: string;
  /** Name and value, for the table of how it was run. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly seed: number;
  readonly parts: readonly SourcePart[];
  readonly turns: readonly ExperimentTurn[];
  readonly syncs: readonly SyncRow[];
  readonly loads: readonly LoadRow[];
  readonly checks: readonly CheckRow[];
  readonly notes: readonly NoteRow[];
  readonly flaws: readonly Flaw[];
  /** What each figure says of it, wherever it is shown; empty for a complete run. */
  readonly caution: string;
}

/** Parts of `discedge experiment paper`, and the scenarios that ship with the same nine turns. */
const PAPER_PARTS = ['edge-side', 'roaming', 'handover', 'written-replies', 'robot', 'robot-roaming'];

/** With other turns or tokens, numbers of the same parts are not those of the paper. */
function isPapers(part: string, played: Partial<Pick<PartFacts, 'turns' | 'max_tokens' | 'nodes'>>): boolean {
  const { turns, max_tokens, nodes = PAPER_NODES } = played;
  return PAPER_PARTS.includes(part) && turns === PAPER_TURNS && max_tokens === PAPER_TOKENS && nodes === PAPER_NODES;
}

const PAPER_NODES = 2;
const PAPER_TURNS = 9;
const PAPER_TOKENS = 128;

/** The longest first line is an experiment's, of some thousand characters. */
const FIRST_LINE_BYTES_MAX = 1_048_576;

/** Reads a file that `discedge experiment` or `discedge scenario run` wrote. Throws `results_unusable`. */
export function readSource(path: string): ReportSource {
  const kind = kindOfFirstRow(path);
  switch (kind) {
    case 'experiment_start':
      return ofExperiment(readExperiment(path));
    case 'run_start':
      return ofScenario(readRun(path));
    case 'traffic_start':
      throw unusable(path, 'it is a capture of traffic, which has no turns: name the run it was taken beside');
    default:
      throw unusable(path, `it begins with neither an experiment_start nor a run_start row`);
  }
}

function kindOfFirstRow(path: string): unknown {
  const head = readHead(path);
  if (head.trim() === '') throw unusable(path, 'it is empty');
  const lineEnd = head.indexOf('\n');
  if (lineEnd < 0) throw unusable(path, 'its first row is cut off');
  try {
    return JSON.parse(head.slice(0, lineEnd))?.kind;
  } catch (cause) {
    const isCsv = /^(Timestamp|timestamp),/.test(head);
    const advice = isCsv ? 'it is CSV: name the .ndjson file beside it, which has everything' : 'line 1 is not JSON';
    throw unusable(path, advice, cause);
  }
}

function readHead(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(FIRST_LINE_BYTES_MAX);
      return bytes.toString('utf8', 0, readSync(file, bytes));
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw unusable(path, (cause as Error).message, cause);
  }
}

function unusable(path: string, why: string, cause?: unknown): DiscedgeError {
  return new DiscedgeError('results_unusable', `no report can be made of ${path}: ${why}`, { cause });
}

const REPLY_SOURCES = {
  model: 'a trained model wrote them',
  'random-weights': 'a model with random weights wrote them: their number and cost are real, their words are not',
  transcript: 'written replies, tokenized with the vocabulary of the model',
  unknown: 'as the nodes gave them; whether the model was trained is not recorded',
} as const;

const INCOMPLETE = 'From an incomplete run.';

function ofExperiment({ start, end, complete, ...rows }: RecordedExperiment): ReportSource {
  const { model, experiment, run } = start;
  const labelled = [...rows.turns, ...rows.syncs, ...rows.loads].map(({ labels }) => labels.reply_source);
  const replies = labelled.length > 0 ? [...new Set(labelled)] : [model.reply_source];
  const size = `${(model.bytes / 2 ** 20).toFixed(0)} MiB`;
  return {
    run,
    origin: run,
    title: `discedge experiment ${experiment}`,
    model: model.name,
    facts: [
      ['run', run],
      ['when', start.at],
      ['machine', start.machine],
      ['version', versionText(start)],
      ['model', [model.name, model.file, model.quantization, size].filter((text) => text !== '').join(', ')],
      ['replies', replies.map((source) => REPLY_SOURCES[source]).join('; ')],
      ['LLM Services', start.llm_services.map(({ name, version }) => `${name} ${version}`.trim()).join(', ')],
      ['nats-server', start.nats_server],
      ['seed, temperature', `${start.seed}, ${start.temperature}`],
      ['repeats', String(start.repeats)],
      ['settings', settingsText(start.settings)],
      ['plays', end === undefined ? `${start.plays_planned} planned` : `${end.plays_done} of ${end.plays_planned}`],
      ...start.parts.flatMap(partFacts),
    ],
    seed: start.seed,
    parts: start.parts.map((facts) => ({
      part: facts.part,
      about: facts.about,
      networks: facts.networks,
      settings: facts.settings,
      isPapers: isPapers(facts.part, facts),
    })),
    ...rows,
    caution: start.quick ? 'From a smoke test: the numbers show nothing.' : complete ? '' : INCOMPLETE,
    flaws: [
      ...(start.quick ? ['a smoke test (--quick): its numbers show nothing'] : []),
      ...(complete
        ? []
        : [
            end === undefined
              ? 'incomplete: it was cut off before its end'
              : `incomplete (${end.reason.replaceAll('_', ' ')}): ${end.plays_done} of ${end.plays_planned} plays`,
          ]),
      ...changedTree(start.commit),
    ],
  };
}

function ofScenario({ start, turns, end, complete }: RecordedRun): ReportSource {
  const { run, machine, model, commit, version, scenario, mode, users, repeats, seed, temperature, stream } = start;
  const conditions = { users, repeats, seed, temperature, stream, tokens: start.max_tokens, labels: start.labels };
  const setting = start.consistency === 'default' ? 'default' : `${start.consistency}, waits ${start.max_wait_ms} ms`;
  const labels = {
    part: scenario,
    variant: mode,
    setting,
    llm_service: '',
    reply_source: 'unknown',
    order: 1,
  } as const;
  return {
    run,
    origin: [machine, model, version, commit, JSON.stringify(conditions)].join(' / '),
    title: `discedge scenario run, ${scenario}, ${mode}`,
    model,
    facts: [
      ['run', run],
      ['when', start.at],
      ['machine', machine],
      ['version', versionText(start)],
      ['model', model],
      ['replies', REPLY_SOURCES[labels.reply_source]],
      ['seed, temperature', `${start.seed}, ${start.temperature}`],
      ['tokens a turn, at most', String(start.max_tokens)],
      ['users, repeats', `${start.users}, ${start.repeats}`],
      ['consistency', `${start.consistency}, max_wait_ms ${start.max_wait_ms}`],
    ],
    seed: start.seed,
    parts: [
      {
        part: scenario,
        about: '',
        networks: {},
        settings: [],
        isPapers:
          users === 1 && isPapers(scenario, { turns: start.turns_planned / repeats, max_tokens: start.max_tokens }),
      },
    ],
    turns: turns.map((turn) => ({ ...turn, labels: { ...labels, repeat: turn.repeat } })),
    syncs: [],
    loads: [],
    checks: [],
    notes: [],
    caution: complete ? '' : INCOMPLETE,
    flaws: [
      ...(complete
        ? []
        : [
            end === undefined
              ? 'incomplete: it was cut off before its end'
              : `incomplete (${end.reason.replaceAll('_', ' ')}): ${end.turns_answered} of ${start.turns_planned} turns`,
          ]),
      ...changedTree(commit),
    ],
  };
}

function versionText({ version, commit }: { readonly version: string; readonly commit: string }): string {
  return commit === '' ? version : `${version}, commit ${commit}`;
}

function changedTree(commit: string): Flaw[] {
  return commit.endsWith('+') ? [`the tree had changes that commit ${commit.slice(0, -1)} does not name`] : [];
}

function settingsText(settings: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}
