import { join } from 'node:path';
import { type ConfigSources, loadConfig } from 'discedge/internal/config/config';
import type { Clock } from 'discedge/internal/environment/environment';
import { nodeEnvironment } from 'discedge/internal/environment/node-environment';
import { compilePacketSwitch, temporaryFolder } from '../network/namespace-run.ts';
import { ResultsFile } from '../scenario/results-file.ts';
import { runName } from '../scenario/run-recorder.ts';
import { ROW_FORMAT, type RunFacts } from '../scenario/run-row.ts';
import type { ExperimentModel } from './experiment-model.ts';
import { experimentNotes } from './experiment-notes.ts';
import { experimentStart } from './experiment-start.ts';
import { partsOf } from './parts/experiment-parts.ts';
import { estimatedMs, roughly } from './plays/estimate.ts';
import type { ExperimentChoices, PlayContext, PlayResult, PlaySpec } from './plays/play.ts';
import { playConversation } from './plays/play-conversation.ts';
import { playLoad } from './plays/play-load.ts';
import { playOrder, Saturation } from './plays/play-order.ts';
import { playReplication } from './plays/play-replication.ts';
import {
  EXPERIMENT_FORMAT,
  type ExperimentEnd,
  type ExperimentName,
  type ExperimentRow,
  type ExperimentStart,
  type ExperimentTurn,
  type PlayLabels,
} from './rows/experiment-rows.ts';
import { checkTokenCounts } from './rows/token-counts.ts';
import { makeCertificateAuthority, type SiteContext } from './site/site.ts';

export interface ExperimentRequest {
  readonly experiment: ExperimentName;
  readonly choices: ExperimentChoices;
  readonly model: ExperimentModel;
  /** Of the nodes. */
  readonly settings: ConfigSources;
  /** Program for the LLM Service `llama-server`. */
  readonly llamaServer: string;
  /** Where the rows go. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  /** Told how it goes: what is played next, and how long it will take. */
  readonly onNotice?: ((text: string) => void) | undefined;
}

export interface ExperimentOutcome {
  readonly start: ExperimentStart;
  readonly end: ExperimentEnd;
  readonly rows: readonly ExperimentRow[];
  readonly path: string;
}

/**
 * Runs an experiment from beginning to end, in the process that calls it; where its network is one of namespaces, that
 * process must be in one of its own (namespace-run.ts). Rows are written as they come: what there is when it is interrupted
 * is kept, and marked incomplete. Throws what the start of a node or server throws, `experiment_unavailable`,
 * `results_unusable`.
 */
export async function runExperiment(request: ExperimentRequest): Promise<ExperimentOutcome> {
  const { clock } = nodeEnvironment({ logLevel: 'silent', nodeId: 'experiment' });
  const temporary = temporaryFolder();
  try {
    const site = await siteContext(request, temporary.path, clock);
    const run = runName([request.experiment, request.model.name], clock.now());
    const at = new Date(clock.now()).toISOString();
    const start = await experimentStart(request, { run, at });
    const file = new ResultsFile(join(request.folder, `${run}.ndjson`));
    try {
      return await new Run(request, { site, file, start }).play();
    } finally {
      file.close();
    }
  } finally {
    temporary.remove();
  }
}

async function siteContext(
  { model, llamaServer, settings, choices, signal }: ExperimentRequest,
  folder: string,
  clock: Clock,
): Promise<SiteContext> {
  const isNetwork = choices.network.kind === 'namespaces';
  if (isNetwork) await makeCertificateAuthority(folder, clock);
  const packetSwitch = isNetwork ? compilePacketSwitch(folder) : undefined;
  const { threads } = loadConfig(settings);
  return { model, llamaServer, threads, settings, packetSwitch, seed: choices.seed, folder, clock, signal };
}

class Run {
  readonly #request: ExperimentRequest;
  readonly #site: SiteContext;
  readonly #file: ResultsFile;
  readonly #start: ExperimentStart;
  readonly #rows: ExperimentRow[] = [];
  #done = 0;
  #skipped = 0;
  #failedTurns = 0;

  constructor(
    request: ExperimentRequest,
    { site, file, start }: { site: SiteContext; file: ResultsFile; start: ExperimentStart },
  ) {
    this.#request = request;
    this.#site = site;
    this.#file = file;
    this.#start = start;
  }

  async play(): Promise<ExperimentOutcome> {
    const { experiment, choices, model, signal } = this.#request;
    const startMs = this.#site.clock.monotonic();
    this.#append(this.#start);
    try {
      for (const { part, text } of experimentNotes(experiment, choices, model)) this.#note(part, text);
      await this.#playAll(startMs);
    } catch (error) {
      if (!signal?.aborted) {
        this.#end(startMs, 'failed');
        throw error;
      }
    }
    const reason = signal?.aborted ? 'interrupted' : this.#failedTurns > 0 ? 'turns_failed' : 'done';
    const end = this.#end(startMs, reason);
    return { start: this.#start, end, rows: this.#rows, path: this.#file.path };
  }

  async #playAll(startMs: number): Promise<void> {
    const { experiment, choices, model, signal, onNotice } = this.#request;
    const parts = partsOf(experiment, choices, model);
    const planned = this.#start.plays_planned;
    let [order, leftMs, spentMs] = [0, this.#start.estimated_s * 1000, 0];
    for (let repeat = 1; repeat <= choices.repeats; repeat++) {
      const saturation = new Saturation();
      for (const spec of playOrder(parts, `${choices.seed}/${repeat}`)) {
        signal?.throwIfAborted();
        order++;
        if (saturation.isReached(spec)) {
          this.#skipped++;
          continue;
        }
        const pace = spentMs === 0 ? 1 : (this.#site.clock.monotonic() - startMs) / spentMs;
        onNotice?.(`${order}/${planned} ${describe(spec, repeat)} · about ${roughly(leftMs * pace)} left`);
        const result = await this.#playOne(spec, repeat, order);
        saturation.heard(spec, result);
        this.#failedTurns += result.turnsFailed;
        signal?.throwIfAborted();
        this.#done++;
        leftMs -= estimatedMs(spec, model);
        spentMs += estimatedMs(spec, model);
      }
      const reached = saturation.level;
      if (reached !== undefined) {
        this.#note(
          'parallel-users',
          `repeat ${repeat}: no more turns a second from ${reached} users on; more were not played`,
        );
      }
      this.#check(repeat);
    }
  }

  #playOne(spec: PlaySpec, repeat: number, order: number): Promise<PlayResult> {
    const labels: PlayLabels = {
      part: spec.part,
      variant: spec.variant,
      setting: spec.setting,
      llm_service: spec.site.llmService,
      repeat,
      reply_source: spec.replySource,
      order,
    };
    const context: PlayContext = {
      site: this.#site,
      labels,
      facts: this.#facts(spec, labels),
      append: (row) => this.#append(row),
    };
    switch (spec.script.kind) {
      case 'conversation':
        return playConversation(spec, context);
      case 'load':
        return playLoad(spec, context);
      case 'replication':
        return playReplication(spec, context);
      default:
        return spec.script satisfies never;
    }
  }

  #facts({ script }: PlaySpec, labels: PlayLabels): RunFacts {
    const { run, version, commit, machine, model, seed, temperature } = this.#start;
    const played = script.kind === 'replication' ? undefined : script;
    return {
      format: ROW_FORMAT,
      run,
      scenario: labels.part,
      mode: played?.mode ?? labels.variant,
      version,
      commit,
      machine,
      model: model.name,
      seed,
      temperature,
      max_tokens: played?.scenario.maxTokens ?? 0,
      consistency: 'default',
      max_wait_ms: 'default',
      stream: played?.scenario.stream ?? false,
      labels,
    };
  }

  #check(repeat: number): void {
    const turns = this.#rows.filter((row): row is ExperimentTurn => row.kind === 'turn' && row.repeat === repeat);
    for (const check of checkTokenCounts(turns.filter(({ labels }) => labels.part !== 'parallel-users'))) {
      this.#append({
        kind: 'check',
        experiment_format: EXPERIMENT_FORMAT,
        at: this.#now(),
        check: 'token_counts',
        ...check,
      });
    }
  }

  #note(part: string | null, text: string): void {
    this.#append({ kind: 'note', experiment_format: EXPERIMENT_FORMAT, at: this.#now(), part, text });
  }

  #end(startMs: number, reason: ExperimentEnd['reason']): ExperimentEnd {
    const planned = this.#start.plays_planned - this.#skipped;
    const end: ExperimentEnd = {
      kind: 'experiment_end',
      experiment_format: EXPERIMENT_FORMAT,
      at: this.#now(),
      complete: reason === 'done' && this.#done === planned,
      reason,
      plays_planned: planned,
      plays_done: this.#done,
      wall_ms: Math.round(this.#site.clock.monotonic() - startMs),
    };
    this.#append(end);
    return end;
  }

  #append(row: ExperimentRow): void {
    this.#file.append(`${JSON.stringify(row)}\n`);
    this.#rows.push(row);
  }

  #now(): string {
    return new Date(this.#site.clock.now()).toISOString();
  }
}

function describe({ part, variant, setting, site }: PlaySpec, repeat: number): string {
  return `${part} · ${variant} · ${setting} · ${site.llmService} · repeat ${repeat}`;
}
